"""The nouns: frozen, append-only records, each written by exactly one stage.

In: plain values. Out: pydantic models. Must not know how they are stored or who writes them.

Things made of content (snapshots, adapters, cases) are named by their hash; things that happened (traces, feedback,
critiques) by a time-ordered id. A record made inside a cycle derives its id from the cycle and the item, so that a
step that runs again after a crash writes the same record again.

`payload` names the fields that hold people's words: the store keeps them apart, so that they can be erased.
`volatile` names the fields that measure the clock: a digest of a run leaves them out.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Origin = Literal["correction", "verified", "revision"]
Decision = Literal["promote", "hold", "reject"]


def now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Return a time-ordered id: prefix, milliseconds since the epoch, 40 random bits, all in hexadecimal.

    >>> new_id("trc") < new_id("trc") or True
    True
    """
    return f"{prefix}_{int(time.time() * 1000):012x}{os.urandom(5).hex()}"


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of `value` as canonical JSON.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class Value(BaseModel):
    """A part of a record: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="who speaks")
    content: str = Field(description="the words")


class Record(Value):
    """What every record has."""

    prefix: ClassVar[str] = "rec"
    subject_field: ClassVar[str | None] = None
    payload: ClassVar[frozenset[str]] = frozenset()
    volatile: ClassVar[frozenset[str]] = frozenset({"at"})

    id: str = Field(description="unique within its kind; never reused")
    at: datetime = Field(default_factory=now, description="when it was written, UTC")

    @property
    def subject(self) -> str | None:
        """The id this record is chiefly about; indexed by the store."""
        return getattr(self, self.subject_field) if self.subject_field else None


class ModelVersion(Record):
    """Weights that can answer: a frozen base, and an adapter on it or none."""

    prefix: ClassVar[str] = "ver"
    base: str = Field(description="the base as configured: model id, folder or GGUF file")
    base_digest: str = Field(description="SHA-256 of the base's weights and config, first 16 digits")
    adapter_digest: str | None = Field(
        default=None, description="SHA-256 of the adapter's files; None is the bare base"
    )
    template_digest: str = Field(description="SHA-256 of the chat template, first 16 digits")
    parent: str | None = Field(default=None, description="the version it was trained from; None for the base")
    run_id: str | None = Field(default=None, description="the TrainingRun that made it; None for the base")


class Deployment(Record):
    """Which version answers which share of the traffic, from now on."""

    prefix: ClassVar[str] = "dep"
    subject_field: ClassVar[str | None] = "version_id"
    version_id: str = Field(description="the champion")
    shares: dict[str, float] = Field(description="share of traffic per version id, 0-1, sums to 1")
    previous_id: str | None = Field(default=None, description="the champion before; `sharpen undo` returns to it")
    verdict_id: str | None = Field(default=None, description="the Verdict behind it; None for init and undo")
    reason: str = Field(description="one sentence")


class Source(Record):
    """Who or what feedback comes from."""

    prefix: ClassVar[str] = "src"
    name: str = Field(description="opaque name the client gave")
    type: Literal["human", "program"] = Field(default="human", description="a person, or a program such as a verifier")


class Trace(Record):
    """One exchange: what was asked, what was answered, by which version."""

    prefix: ClassVar[str] = "trc"
    subject_field: ClassVar[str | None] = "session"
    payload: ClassVar[frozenset[str]] = frozenset({"messages", "reply"})
    volatile: ClassVar[frozenset[str]] = frozenset({"at", "latency_s"})
    messages: tuple[Message, ...] = Field(description="the request's messages")
    reply: str | None = Field(default=None, description="the answer; None when generation failed")
    version_id: str = Field(description="the version that answered")
    session: str | None = Field(default=None, description="the client's session, if it named one")
    prompt_tokens: int = Field(default=0, description="tokens read")
    completion_tokens: int = Field(default=0, description="tokens written")
    latency_s: float = Field(default=0.0, description="seconds from request to last token")
    finish_reason: str | None = Field(default=None, description="stop, length or error")
    error: str | None = Field(default=None, description="what failed, if anything")


class Feedback(Record):
    """What someone or something said of a Trace."""

    prefix: ClassVar[str] = "fbk"
    subject_field: ClassVar[str | None] = "trace_id"
    payload: ClassVar[frozenset[str]] = frozenset({"correction", "comment"})
    trace_id: str = Field(description="the Trace it is about")
    rating: float | None = Field(default=None, description="-1 (bad) to 1 (good); None when only a correction came")
    correction: str | None = Field(default=None, description="what the reply should have been")
    comment: str | None = Field(default=None, description="free text")
    source_id: str | None = Field(default=None, description="the Source it came from")


class Step(Value):
    """One step of a critique."""

    name: str = Field(description="extract, choose, recall, hint or revise")
    output: str = Field(description="what the step produced")
    tokens: int = Field(default=0, description="tokens written by the model in this step")


class Critique(Record):
    """What the loop thought of a Trace's reply, and a better one if it found one."""

    prefix: ClassVar[str] = "crt"
    subject_field: ClassVar[str | None] = "trace_id"
    payload: ClassVar[frozenset[str]] = frozenset({"steps", "draft", "revision"})
    trace_id: str = Field(description="the Trace it is about")
    cycle_id: str = Field(description="the cycle it was made in")
    method: str = Field(description="the critique method's name")
    steps: tuple[Step, ...] = Field(default=(), description="what was tried, in order")
    draft: str | None = Field(default=None, description="the reply that was criticised")
    draft_score: float | None = Field(
        default=None, description="the verifier's score of the draft, 0-1; None: unverifiable"
    )
    revision: str | None = Field(default=None, description="the better answer; None when none was found")
    revision_score: float | None = Field(default=None, description="the verifier's score of the revision, 0-1")
    strategy: str | None = Field(
        default=None, description="what produced it: draft, extract, choose, recall, hint or revise"
    )
    tokens: int = Field(default=0, description="tokens the model wrote for this critique")
    stop_reason: str = Field(description="verified, rounds, unverifiable or error")
    needs_review: bool = Field(default=False, description="a person should look: the loop could not decide")
    error: str | None = Field(default=None, description="what failed; a failed item is data, not a crash")


class Example(Record):
    """One thing to learn, with the evidence it stands on."""

    prefix: ClassVar[str] = "exa"
    subject_field: ClassVar[str | None] = "cycle_id"
    payload: ClassVar[frozenset[str]] = frozenset({"messages", "chosen", "rejected"})
    cycle_id: str = Field(description="the cycle it was mined in")
    messages: tuple[Message, ...] = Field(description="the prompt")
    chosen: str = Field(description="the answer to learn")
    rejected: str | None = Field(default=None, description="the answer to unlearn; None when there is none")
    origin: Origin = Field(description="where `chosen` came from")
    evidence: tuple[str, ...] = Field(min_length=1, description="ids of the Trace, Feedback and Critique it rests on")
    weight: float = Field(default=1.0, gt=0, description="how much it counts in training")


class Snapshot(Record):
    """An immutable training set, named by its content."""

    prefix: ClassVar[str] = "snp"
    subject_field: ClassVar[str | None] = "cycle_id"
    cycle_id: str = Field(description="the cycle that first built it")
    example_ids: tuple[str, ...] = Field(description="its examples, in training order")
    counts: dict[str, int] = Field(description="examples kept, per origin")
    dropped: dict[str, int] = Field(description="examples dropped, per filter")
    shuffled_labels: bool = Field(default=False, description="a negative control: answers permuted among prompts")


class TrainingRun(Record):
    """One attempt to turn a Snapshot into weights."""

    prefix: ClassVar[str] = "run"
    subject_field: ClassVar[str | None] = "snapshot_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"at", "seconds", "model_seconds", "metrics"})
    snapshot_id: str = Field(description="what it learned from")
    method: Literal["sft", "dpo"] = Field(description="the algorithm")
    recipe: dict[str, Any] = Field(description="every hyper-parameter as resolved")
    seed: int = Field(description="random seed of the trainer")
    adapter_digest: str = Field(description="SHA-256 of the adapter's files")
    metrics: dict[str, float] = Field(default_factory=dict, description="final training metrics")
    seconds: float = Field(description="wall-clock seconds of the trainer child")
    model_seconds: float = Field(description="of these, seconds inside forward, backward and optimizer steps")


class Case(Value):
    """One item of a suite: a prompt, and how to tell a good answer."""

    id: str = Field(description="content hash of the prompt")
    messages: tuple[Message, ...] = Field(description="the prompt")
    reference: str = Field(description="the right answer")
    choices: tuple[str, ...] = Field(default=(), description="the allowed answers, where the task has a fixed set")
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
    tier: str = Field(description="train, dev, gate or vault")
    scorer: str = Field(description="the scorer's name")
    case_id: str = Field(description="the Case")
    cluster: str = Field(description="the Case's cluster")
    value: float | None = Field(description="0-1, or None: unscored")
    reason: str | None = Field(default=None, description="why it is unscored")
    reply: str | None = Field(default=None, description="the answer that was scored")


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


class Memory(Record):
    """A kept answer or lesson that may be put into a prompt."""

    prefix: ClassVar[str] = "mem"
    subject_field: ClassVar[str | None] = "type"
    payload: ClassVar[frozenset[str]] = frozenset({"messages", "reply"})
    type: Literal["example", "lesson"] = Field(description="an answer worth repeating, or a rule in words")
    messages: tuple[Message, ...] = Field(description="the prompt it answers")
    reply: str = Field(description="the answer or the lesson")
    evidence: tuple[str, ...] = Field(min_length=1, description="ids of the records it rests on")


class StageTime(Value):
    """How long one stage of a cycle took."""

    stage: str = Field(description="the stage's verb")
    seconds: float = Field(description="wall-clock seconds")
    model_seconds: float = Field(description="of these, seconds inside model forward and backward passes")


class Cycle(Value):
    """One pass, seen through the durable workflow's own ledger: a view, never stored."""

    id: str = Field(description="the cycle's id; its workflow is named by it")
    state: Literal["running", "done", "failed"] = Field(description="as the ledger says")
    champion_id: str = Field(description="the version that served when it began")
    snapshot_id: str | None = Field(default=None, description="what was learned from")
    version_id: str | None = Field(default=None, description="the challenger")
    verdict: Verdict | None = Field(default=None, description="the gate's decision")
    deployed: bool = Field(default=False, description="the challenger serves now")
    stages: tuple[StageTime, ...] = Field(default=(), description="time per finished stage")
    error: str | None = Field(default=None, description="why it failed")


RECORDS: tuple[type[Record], ...] = (
    ModelVersion, Deployment, Source, Trace, Feedback, Critique, Example, Snapshot, TrainingRun, Score, Verdict, Memory,
)  # fmt: skip
