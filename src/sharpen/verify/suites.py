"""What a model is measured on: cases in four tiers, and the scorer that grades an answer.

In: a spec: a JSONL or CSV file, or `reasoning-gym:NAME`. Out: `Suite`. Must not know models, arms or who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sharpen.errors import ConfigError
from sharpen.models.engine import Prompt
from sharpen.records import Case
from sharpen.verify.cases import TIERS, case_id
from sharpen.verify.generators import GENERATOR, Grader, draw
from sharpen.verify.rows import read_rows
from sharpen.verify.scorers import CHOICE, find_scorer, grade


@dataclass(frozen=True)
class Suite:
    """Cases, and how their answers are graded.

    `scorer` grades every case that `scorers` does not name another one for; `grader` replaces both: a generator's own.
    """

    name: str
    cases: tuple[Case, ...]
    scorer: str = "exact"
    scorers: Mapping[str, str] = field(default_factory=dict)
    grader: Grader | None = None

    def tier(self, name: str) -> tuple[Case, ...]:
        """Return one tier's cases, in the suite's order. Raises: ConfigError when there is no such tier."""
        if name not in TIERS:
            raise ConfigError(f"There is no tier '{name}'.", f"one of {', '.join(TIERS)}")
        return tuple(case for case in self.cases if case.tier == name)

    def find(self, messages: Prompt) -> Case | None:
        """Return the case with exactly this prompt."""
        return self._by_id.get(case_id(messages))

    def scorer_of(self, case: Case) -> str:
        """Return the name of the scorer that grades this case."""
        return self.scorers.get(case.id, self.scorer)

    @property
    def by_choice(self) -> bool:
        """Whether answers are chosen by log-probability, not written."""
        return bool(self.cases) and all(self.scorer_of(case) == CHOICE for case in self.cases)

    def score(self, case: Case, reply: str | None) -> tuple[float | None, str | None]:
        """Return a reply's value (0-1), or None with the reason.

        Where answers are chosen by log-probability, a written reply is right if it names the right choice alone.
        """
        if self.grader is not None:
            return self.grader(case, reply) if reply is not None else (None, "there is no reply")
        name = self.scorer_of(case)
        return grade(find_scorer("contains_one" if name == CHOICE else name), reply, case.reference, case.choices)

    @cached_property
    def _by_id(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}


def load_suite(spec: str, *, seed: int = 0, size: int = 600) -> Suite:
    """Load a file, or draw `size` cases from a generator with `seed`.

    `reasoning-gym:NAME?key=value&key=value` sets a generator's parameters.
    Raises: ConfigError naming file, line and fault; MissingExtra; Refused for generators that run replies as code.
    """
    if spec.startswith(GENERATOR):
        task = spec.removeprefix(GENERATOR)
        drawn, grader = draw(task, seed=seed, size=size)
        name = task.partition("?")[0]
        return Suite(name=name, cases=drawn, scorer=GENERATOR + name, grader=grader)
    path = Path(spec)
    cases, scorers = read_rows(path)
    return Suite(name=path.stem, cases=cases, scorers=scorers)
