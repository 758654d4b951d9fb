"""What a model is measured on: cases in four tiers, and the scorer that grades an answer.

In: a spec: a file, a Hugging Face data set, a ready-made suite or a generator. Out: `Suite`. Must not know models, arms
or who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from sharpen.errors import ConfigError
from sharpen.models.engine import Prompt
from sharpen.records import Case, content_hash
from sharpen.verify.cases import CHOICE_KINDS, TIERS, case_id, tier_of
from sharpen.verify.generators import GENERATOR, Grader, draw
from sharpen.verify.rows import to_cases
from sharpen.verify.scorers import find_scorer, grade
from sharpen.verify.specs import Spec, parse_spec
from sharpen.verify.tables import FORMATS, read_dataset, read_table

HUGGING_FACE, READY = "hf:", "ready:"


@dataclass(frozen=True)
class Suite:
    """Cases, and how their answers are graded.

    `scorer` grades every case that `scorers` does not name another one for; `grader` replaces both: a generator's own.
    `monitor` says that its numbers are worth watching and too weak to decide on.
    """

    name: str
    cases: tuple[Case, ...]
    scorer: str = "exact"
    scorers: Mapping[str, str] = field(default_factory=dict)
    grader: Grader | None = None
    monitor: bool = False

    def tier(self, name: str) -> tuple[Case, ...]:
        """Return one tier's cases, in the suite's order. Raises: ConfigError when there is no such tier."""
        if name not in TIERS:
            raise ConfigError(f"There is no tier '{name}'.", f"one of {', '.join(TIERS)}")
        return tuple(case for case in self.cases if case.tier == name)

    def find(self, messages: Prompt) -> Case | None:
        """Return the case with exactly this prompt."""
        return self._by_id.get(case_id(messages))

    def scorer_of(self, case: Case) -> str:
        """Return the name of what grades this case: a scorer, or the kind of choice."""
        return case.kind if case.kind in CHOICE_KINDS else self.scorers.get(case.id, self.scorer)

    @cached_property
    def digest(self) -> str:
        """What the suite asks and how it grades, as 16 digits: a change after training began shows in it."""
        return content_hash([self.name, [(case.model_dump(), self.scorer_of(case)) for case in self.cases]])

    def by_choice(self, kind: Literal["choice", "choice_norm"] = "choice") -> Suite:
        """Return the same suite, answered by the likeliest choice in place of a written reply."""
        return replace(self, cases=tuple(case.model_copy(update={"kind": kind}) for case in self.cases))

    def score(self, case: Case, reply: str | None) -> tuple[float | None, str | None]:
        """Return a reply's value (0-1), or None with the reason.

        Where answers are chosen by log-probability, a written reply is right if it names the right choice alone.
        """
        if self.grader is not None:
            return self.grader(case, reply) if reply is not None else (None, "there is no reply")
        name = self.scorer_of(case)
        scorer = find_scorer("contains_one" if name in CHOICE_KINDS else name)
        return grade(scorer, reply, case.reference, case.choices, case.messages)

    @cached_property
    def _by_id(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}


def load_suite(spec: str, *, seed: int = 0, size: int = 600, data: Path | None = None) -> Suite:
    """Load a suite: FILE.jsonl, FILE.csv, FILE.parquet, hf:NAME, ready:NAME, or reasoning-gym:NAME.

    `?key=value&key=value` after it sets shares of the tiers, scorer, kind and the source's own settings. A generator
    draws `size` cases with `seed`; a ready-made suite reads its files below `data`.
    Raises: ConfigError naming file, line and fault; BoundaryError; MissingExtra; Refused for generators that run
    replies as code.
    """
    parsed = parse_spec(spec)
    if parsed.source.startswith(GENERATOR):
        return _drawn(parsed, seed, size)
    if parsed.source.startswith(READY):
        from sharpen.verify.ready import load_ready

        return load_ready(parsed, data)
    if parsed.source.startswith(HUGGING_FACE):
        name = parsed.source.removeprefix(HUGGING_FACE)
        settings = dict(parsed.settings)
        rows = read_dataset(name, config=settings.pop("config", None), split=settings.pop("split", "test"))
        cases, scorers = to_cases(rows, replace(parsed, settings=settings))
        return Suite(name=Path(name).name, cases=cases, scorers=scorers)
    path = Path(parsed.source)
    if not parsed.source:
        raise ConfigError("The suite has no name.", FORMATS)
    cases, scorers = to_cases(read_table(path), parsed, cells=".csv" in path.suffixes)
    return Suite(name=Path(path.name.removesuffix(".gz")).stem, cases=cases, scorers=scorers)


def _drawn(spec: Spec, seed: int, size: int) -> Suite:
    task = spec.source.removeprefix(GENERATOR)
    if spec.kind or spec.scorer:
        raise ConfigError(f"{spec.source} is written and graded by its own verifier.", "leave kind and scorer out")
    cases, grader = draw(task, spec.settings, seed=seed, size=size)
    shares = spec.shares
    if shares:
        cases = tuple(case.model_copy(update={"tier": tier_of(case.cluster, shares)}) for case in cases)
    return Suite(name=task, cases=cases, scorer=GENERATOR + task, grader=grader)
