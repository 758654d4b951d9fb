"""What an outside evaluator is shown of our answers, and how its values come back as Scores.

In: Scores with their suite, or Traces. Out: `Answer`s for the evaluator; Scores of its own evaluation. Must not know
any one evaluator.

An outside Score belongs to an evaluation named after ours and the evaluator, never to ours: the gate reads ours and
must not find other people's values among them. They are advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sharpen.models.engine import Prompt
from sharpen.records import Case, Message, Score, Trace, content_hash
from sharpen.verify.cases import case_id, with_contexts
from sharpen.verify.scorers import checked
from sharpen.verify.suites import Suite

Given = tuple[float | None, str | None]
LIVE = "live"  # the tier, suite and arm of exchanges that came from serving


@dataclass(frozen=True)
class Place:
    """Where a Score belongs: the evaluation, who answered, what was asked."""

    evaluation_id: str
    arm: str
    version_id: str
    suite: str
    tier: str
    case_id: str
    cluster: str
    groups: tuple[str, ...] = ()

    def scored(self, evaluator: str, name: str, given: Given, reply: str | None = None) -> Score:
        """Return an evaluator's value as a Score of its own evaluation; None keeps its reason."""
        value, reason = given
        if reason is None:
            value, reason = checked(value)
        evaluation_id = f"{self.evaluation_id}_{evaluator}"
        scorer = f"{evaluator}:{name}"
        key = content_hash([evaluation_id, self.suite, self.arm, self.version_id, self.case_id, scorer])
        return Score(
            id=f"{Score.prefix}_{key}",
            evaluation_id=evaluation_id,
            arm=self.arm,
            version_id=self.version_id,
            suite=self.suite,
            tier=self.tier,
            scorer=scorer,
            case_id=self.case_id,
            cluster=self.cluster,
            value=value,
            reason=reason,
            reply=reply,
            groups=self.groups,
        )


@dataclass(frozen=True)
class Answer:
    """A reply, and what is known of the question. `missing` says why there is no reply."""

    place: Place
    messages: Prompt
    reply: str | None
    reference: str = ""
    contexts: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def question(self) -> str:
        """The last turn's words, without the passages that were put before them."""
        before = with_contexts([Message(role="user", content="")], self.contexts)[0].content
        return self.messages[-1].content.removeprefix(before)

    def scored(self, evaluator: str, name: str, given: Given) -> Score:
        """Return an evaluator's value of this answer as a Score."""
        return self.place.scored(evaluator, name, given, self.reply)


def answers_of(scores: Iterable[Score], suite: Suite) -> list[Answer]:
    """Return the answers behind our own Scores; a Score of a case that the suite no longer has is left out."""
    cases = {case.id: case for case in suite.cases}
    return [_answer(score, cases[score.case_id]) for score in scores if score.case_id in cases]


def _answer(score: Score, case: Case) -> Answer:
    place = Place(
        score.evaluation_id, score.arm, score.version_id, score.suite, score.tier, score.case_id, score.cluster,
        score.groups,
    )  # fmt: skip
    missing = None if score.reply is not None else score.reason or "there is no reply"
    return Answer(place, case.messages, score.reply, case.reference, case.contexts, missing)


def answers_in(traces: Iterable[Trace], suite: Suite | None = None) -> list[Answer]:
    """Return the answers in Traces; where the suite has exactly that prompt, with its reference and passages."""
    return [_served(trace, suite.find(trace.messages) if suite else None) for trace in traces]


def _served(trace: Trace, case: Case | None) -> Answer:
    name, cluster = case_id(trace.messages), trace.session or trace.id
    place = Place(f"evl_{trace.id}", LIVE, trace.version_id, LIVE, LIVE, name, cluster)
    answer = Answer(place, trace.messages, trace.reply, missing=None if trace.reply is not None else trace.error)
    return replace(answer, reference=case.reference, contexts=case.contexts) if case else answer


def mean(scores: Sequence[Score]) -> dict[str, tuple[float, int, int]]:
    """Return, per scorer, the mean value (0-1) of what was scored, how many that were, and of how many."""
    table: dict[str, list[float | None]] = {}
    for score in scores:
        table.setdefault(score.scorer, []).append(score.value)
    known = {name: [value for value in values if value is not None] for name, values in table.items()}
    return {
        name: (sum(known[name]) / len(known[name]), len(known[name]), len(values))
        if known[name]
        else (0.0, 0, len(values))
        for name, values in table.items()
    }
