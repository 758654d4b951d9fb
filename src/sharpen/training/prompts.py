"""Prompts that a policy answers while it trains, and the verifier that grades what it says.

In: a suite and a snapshot's rows. Out: rows that a trainer child can grade by itself, and the grader. Must not know any
algorithm.

Only the suite's train tier comes here, and what people gave a reference for. A row carries its reference and its
scorer's name, so that a file's other tiers never reach the child. A generator grades its own prompts: the child draws
it again, and grades the train tier alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sharpen.errors import TrainerError
from sharpen.records import Case, Message
from sharpen.verify.cases import CHOICE_KINDS
from sharpen.verify.generators import GENERATOR
from sharpen.verify.scorers import find_scorer, grade
from sharpen.verify.suites import Suite, load_suite

Row = dict[str, Any]


class Drawn(BaseModel):
    """A generator's draw, which the child repeats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: str = Field(description="the suite, as in the configuration")
    seed: int = Field(description="the draw's seed")
    size: int = Field(description="cases drawn")


def drawn_from(spec: str, *, seed: int, size: int) -> Drawn | None:
    """Return the draw that grades its own prompts; None for a suite whose scorers have names."""
    return Drawn(spec=spec, seed=seed, size=size) if spec.startswith(GENERATOR) else None


def prompts(suite: Suite, rows: Iterable[Mapping[str, Any]] = ()) -> list[Row]:
    """Return the train tier's prompts, then those of `rows` that people gave a reference for and no tier holds.

    Conversations of several turns are left out: they have no one answer to grade.
    """
    found = [_row(case.messages, case, _scorer(suite, case)) for case in suite.tier("train") if case.kind != "dialogue"]
    own = "contains_one" if suite.scorer in CHOICE_KINDS else suite.scorer
    if not own.startswith(GENERATOR):
        for row in rows:
            messages = tuple(Message.model_validate(turn) for turn in row["messages"])
            if row.get("reference") and suite.find(messages) is None:
                found.append(_row(messages, None, own) | {"reference": row["reference"]})
    return found


def _row(messages: Sequence[Message], case: Case | None, scorer: str) -> Row:
    return {
        "messages": [message.model_dump() for message in messages],
        "chosen": None,
        "rejected": None,
        "reference": case.reference if case else None,
        "choices": list(case.choices) if case else [],
        "scorer": scorer,
    }


def _scorer(suite: Suite, case: Case) -> str:
    name = suite.scorer_of(case)
    return "contains_one" if name in CHOICE_KINDS else name


class Verifier:
    """Grades an answer to a prompt's row."""

    def __init__(self, drawn: Drawn | None = None) -> None:
        self._drawn = drawn
        self.unscored = 0  # answers that could not be graded

    @cached_property
    def _suite(self) -> Suite:
        if self._drawn is None:
            raise TrainerError("A generator's prompts came without the draw that grades them.", "sharpen train")
        return load_suite(self._drawn.spec, seed=self._drawn.seed, size=self._drawn.size)

    def __call__(self, row: Mapping[str, Any], reply: str) -> float | None:
        """Return the reply's value, 0-1; None where it cannot be told. Raises: ConfigError for an unknown scorer."""
        value, _ = self.explain(row, reply)
        self.unscored += value is None
        return value

    def explain(self, row: Mapping[str, Any], reply: str) -> tuple[float | None, str | None]:
        """Return the value, or None with the reason."""
        messages = tuple(Message.model_validate(turn) for turn in row["messages"])
        if row["scorer"].startswith(GENERATOR):
            case = self._suite.find(messages)
            if case is None or case.tier != "train":
                return None, "the prompt is none of the generator's train tier"
            return self._suite.score(case, reply)
        return grade(find_scorer(row["scorer"]), reply, row["reference"], row["choices"], messages)

    def try_out(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Have the first prompt's own reference graded. Raises: TrainerError where the scorer has nothing to say."""
        value, reason = self.explain(rows[0], rows[0]["reference"])
        if value is None or not math.isfinite(value):
            raise TrainerError(
                f"The scorer '{rows[0]['scorer']}' cannot grade the reference of the first prompt: {reason}.",
                'a method that learns from pairs, or from targets: method = "sft"',
            )
