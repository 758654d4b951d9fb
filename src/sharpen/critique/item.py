"""One answer on its way through a critique method, and the record that it becomes.

In: a trace's messages and reply, or a prompt alone. Out: `Critique`. Must not know models, methods or the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sharpen.records import Case, Critique, Issue, Message, Step, content_hash
from sharpen.verify.suites import Suite

ACCEPTED = 1.0  # a verifier's score of a right answer
CONCLUDED = frozenset({"verified", "agreed", "unverifiable"})  # a stop that says something of the answer


@dataclass(slots=True)
class Item:
    """One answer, or a prompt that has none yet (`draft` is None): the method then begins by asking for one.

    `case` is what the verifier compares with; the model never sees it. `answer` is the best answer so far.
    """

    trace_id: str
    messages: tuple[Message, ...]
    draft: str | None = None
    correction: str | None = None
    case: Case | None = None
    choices: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()  # reflections of earlier tries
    steps: list[Step] = field(default_factory=list)
    seed: int = 0
    asked: int = 0  # requests made for it so far
    round: int = 0
    failed: str | None = None  # the first call that nobody answered; text that could not be read is no failure
    work: Any = None  # what the method keeps of this item while it runs
    answer: str = ""
    answer_step: int | None = None
    draft_score: float | None = None
    revision: str | None = None
    revision_score: float | None = None
    scored_by: Literal["verifier", "self"] = "verifier"
    strategy: str | None = None
    stop_reason: str = "rounds"
    error: str | None = None
    open: bool = True
    tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0

    def note(
        self,
        name: str,
        output: str,
        *,
        tokens: int = 0,
        parent: int | None = None,
        issues: Sequence[Issue] = (),
        score: float | None = None,
        error: str | None = None,
    ) -> int:
        """Add a step, and return its place."""
        step = Step(
            name=name, output=output, tokens=tokens, parent=parent, issues=tuple(issues), score=score, error=error
        )
        self.steps.append(step)
        self.tokens += tokens
        return len(self.steps) - 1

    def amend(
        self, place: int, *, issues: Sequence[Issue] = (), score: float | None = None, error: str | None = None
    ) -> None:
        """Add to a step what was read out of its output."""
        update = {"issues": tuple(issues), "score": score, "error": error}
        self.steps[place] = self.steps[place].model_copy(update=update)

    def take(self, answer: str, step: int | None) -> None:
        """Make this the answer, found in that step."""
        self.answer, self.answer_step = answer, step
        self.strategy = self.steps[step].name if step is not None else "draft"

    def close(self, reason: str, error: str | None = None) -> None:
        """Ask nothing more for this item. The first reason stays."""
        if self.open:
            self.open, self.stop_reason, self.error = False, reason, error

    def score(self, suite: Suite | None, answer: str) -> float | None:
        """Ask the suite's scorer, or compare with the person's correction where there is one; None: nobody can tell."""
        if self.correction is not None:
            return float(answer.strip() == self.correction)
        if self.case is None or suite is None:
            return None
        value, _ = suite.score(self.case, answer)
        return value


def record(item: Item, *, cycle_id: str, method: str, basis: str | None = None) -> Critique:
    """Return the Critique of an item that is through; its id comes from the cycle and the trace."""
    return Critique(
        id=f"crt_{content_hash((cycle_id, item.trace_id))}",
        trace_id=item.trace_id,
        cycle_id=cycle_id,
        method=method,
        basis=basis,
        steps=tuple(item.steps),
        draft=item.draft,
        draft_score=item.draft_score,
        revision=item.revision,
        revision_score=item.revision_score,
        scored_by=item.scored_by,
        strategy=item.strategy,
        tokens=item.tokens,
        prompt_tokens=item.prompt_tokens,
        stop_reason=item.stop_reason,
        needs_review=item.stop_reason in ("rounds", "tokens", "seconds", "biased", "contested"),
        error=item.error,
    )
