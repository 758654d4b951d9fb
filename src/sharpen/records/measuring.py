"""How good an answer is, and what follows: case, score, comparison, verdict, and the trial of a judge.

In: plain values. Out: records of evaluation, promotion and verification. Must not know learning.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from sharpen.records.exchange import Message
from sharpen.records.record import Record, Value

Decision = Literal["promote", "hold", "reject"]


class Case(Value):
    """One item of a suite: a prompt, and how to tell a good answer."""

    id: str = Field(description="content hash of the prompt")
    kind: Literal["reply", "dialogue", "choice", "choice_norm"] = Field(
        default="reply",
        description="how it is answered: written; turn by turn; the likeliest choice; the likeliest choice per byte",
    )
    messages: tuple[Message, ...] = Field(description="the prompt; of a dialogue, every turn of the user")
    reference: str = Field(description="the right answer, or what the scorer needs to know one; may be empty")
    choices: tuple[str, ...] = Field(default=(), description="the allowed answers, where the task has a fixed set")
    contexts: tuple[str, ...] = Field(default=(), description="passages that stand in the prompt to be answered from")
    groups: tuple[str, ...] = Field(default=(), description="groups of people it is about, as axis=group")
    tags: tuple[str, ...] = Field(default=(), description="what else it is, for reports on parts of a suite")
    cluster: str = Field(description="unit of independence: cases of one cluster are resampled together")
    tier: Literal["train", "dev", "gate", "vault"] = Field(
        description="who may look: training, tuning, the gate, the report"
    )


class Score(Record):
    """A scorer's value of one answer, or None with the reason: unscored is not 0."""

    prefix: ClassVar[str] = "scr"
    subject_field: ClassVar[str | None] = "evaluation_id"
    payload: ClassVar[frozenset[str]] = frozenset({"reply"})
    evaluation_id: str = Field(description="the evaluation it belongs to: one arm on one suite tier in one cycle")
    arm: str = Field(description="champion, challenger, in_context, control, ...")
    version_id: str = Field(description="the version that answered")
    suite: str = Field(description="the suite's name")
    tier: str = Field(description="train, dev, gate, vault, or live: an exchange from serving")
    scorer: str = Field(description="the scorer's name")
    case_id: str = Field(description="the Case")
    cluster: str = Field(description="the Case's cluster")
    value: float | None = Field(description="0-1, or None: unscored")
    reason: str | None = Field(default=None, description="why it is unscored")
    reply: str | None = Field(default=None, description="the answer that was scored")
    groups: tuple[str, ...] = Field(default=(), description="groups of people the Case is about, as axis=group")
    logprobs: tuple[float, ...] = Field(default=(), description="nats per choice, where the answer was a choice")


class Comparison(Value):
    """Challenger minus another arm on the same cases, paired."""

    against: str = Field(description="the other arm")
    suite: str = Field(description="the suite")
    n: int = Field(description="paired cases")
    challenger: float = Field(description="the challenger's mean score, 0-1")
    other: float = Field(description="the other arm's mean score, 0-1")
    effect: float = Field(description="mean paired difference, challenger minus other")
    low: float = Field(description="lower end of the interval")
    high: float = Field(description="upper end of the interval")
    level: float = Field(description="the interval's confidence level, e.g. 0.95")
    p_value: float = Field(description="one-sided exact sign-flip test that the effect is not positive")
    claim: Literal["better", "not_worse", "floor", ""] = Field(
        default="", description="what had to be shown: a gain, no loss of the margin, a mean above a floor"
    )
    group: str | None = Field(default=None, description="the group of cases it is about; None: the whole suite")
    boundary: float = Field(default=0.0, description="the effect that the challenger had to exceed")
    state: Literal["passed", "open", "futile", "unarmed", "failed", ""] = Field(
        default="",
        description="shown; not shown yet; not likely to be; too few cases to resolve the margin; the opposite shown",
    )
    planned: int = Field(default=0, description="paired cases there would have been without stopping early")
    e_value: float | None = Field(
        default=None, description="most capital of the betting e-process; None: nobody looked before the end"
    )
    resolves: float | None = Field(
        default=None, description="smallest loss that as many cases could exclude, had nothing changed"
    )
    more_cases: int | None = Field(
        default=None, description="more cases of the suite that would show it with chance 0.8, if the effect stays"
    )


Sign = Literal["diversity", "length", "real data", "kl", "judge gap", "contamination", "canaries"]


class Vital(Value):
    """One sign that a model eats its own words, pleases its judge, or has seen what it is asked."""

    sign: Sign = Field(description="which kind of sign")
    name: str = Field(description="what was measured")
    value: float | None = Field(description="a ratio, a share, a count or a difference; None: not measured")
    warn: float = Field(description="beyond it, look")
    alarm: float = Field(description="beyond it, something is wrong")
    state: Literal["ok", "warn", "alarm", "unmeasured"] = Field(description="what it says")
    note: str = Field(default="", description="what it stands on, or why it was not measured")


class Verdict(Record):
    """What the gate decided, and everything it decided on."""

    prefix: ClassVar[str] = "vdt"
    subject_field: ClassVar[str | None] = "cycle_id"
    cycle_id: str = Field(description="the cycle")
    champion_id: str = Field(description="the version that served")
    challenger_id: str = Field(description="the version that wants to")
    decision: Decision = Field(description="promote, hold or reject")
    reason: str = Field(description="one sentence")
    comparisons: tuple[Comparison, ...] = Field(
        description="target against champion, target against in-context arm, guards"
    )
    alpha_spent: float = Field(description="the error probability this decision used of the deployment's budget")
    attempt: int = Field(description="which decision of this deployment's life it is, from 1")
    alpha: float | None = Field(default=None, description="the budget of false promotions that was declared")
    plan: str | None = Field(default=None, description="hash of the gate's settings and suites before training began")
    suites: dict[str, str] = Field(default_factory=dict, description="digest of each suite, by name")
    unarmed: tuple[str, ...] = Field(default=(), description="guards whose cases cannot resolve their margin")
    controls: dict[str, float] = Field(
        default_factory=dict, description="share of A/A pairs promoted, and of planted losses that passed a guard"
    )
    more_cases: int | None = Field(default=None, description="cases that would probably decide, beyond those there are")
    vitals: tuple[Vital, ...] = Field(default=(), description="signs of collapse, of judge hacking and of leaks")
    published: Comparison | None = Field(
        default=None, description="the gain on vault cases that no decision has seen: the number to report"
    )

    @property
    def means(self) -> dict[str, float]:
        """Mean score by suite and arm, e.g. "target/challenger"."""
        others = {f"{one.suite}/{one.against}": one.other for one in self.comparisons}
        return others | {f"{one.suite}/challenger": one.challenger for one in self.comparisons}


class Finding(Value):
    """What one probe of a judge found."""

    name: str = Field(description="agreement, length, style, injection, names, order consistency, position, ...")
    value: float | None = Field(description="the measure; None: gold has too few items for it")
    low: float | None = Field(description="lower end of its 95 % interval")
    high: float | None = Field(description="upper end of its 95 % interval")
    n: int = Field(description="items or pairs it rests on")
    limit: float = Field(description="what it is held against")
    outcome: Literal["shown", "not shown", "quiet", "alarm", "not measured"] = Field(
        description="shown: clears its limit; quiet: no bias beyond its limit was found"
    )


class JudgeTrial(Record):
    """How a judge did on gold: what allows it to label and to gate, until it expires."""

    prefix: ClassVar[str] = "jdg"
    subject_field: ClassVar[str | None] = "judge_digest"
    judge_digest: str = Field(description="content hash of model, rubric and prompt")
    model: str = Field(description="the model's exact name")
    rubric: str = Field(description="the rubric's name")
    gold_digest: str = Field(description="content hash of the gold")
    items: int = Field(description="gold items asked about")
    unanswered: int = Field(description="of these, without a value")
    accuracy: float = Field(description="share of items judged as people did")
    findings: tuple[Finding, ...] = Field(description="one per probe")
    faults: tuple[str, ...] = Field(description="why it may only advise; empty: it may label and gate")
    expires_at: datetime = Field(description="when it has to be measured again, UTC")
