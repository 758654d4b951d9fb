"""How an exchange becomes weights: critique, example, snapshot, training run.

In: plain values. Out: records of critique, curation and training. Must not know measuring.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sharpen.records.exchange import Message
from sharpen.records.record import Record, Value

Origin = Literal["correction", "comparison", "rating", "samples", "verified", "revision"]
Method = Literal["sft", "dpo", "rpo", "kto", "ppo", "grpo", "rloo"]


class Issue(Value):
    """A fault that a critique found in an answer."""

    text: str = Field(description="what is wrong, in a sentence")
    severity: Literal["low", "medium", "high"] = Field(default="medium", description="how much it matters")
    evidence: str = Field(default="", description="the words of the answer, or the calculation, that show it")


class Step(Value):
    """One step of a critique; the steps of a critique are a tree."""

    name: str = Field(description="what was done: draft, extract, recall, revise, reason, think, judge, vote, ...")
    output: str = Field(description="what the step produced")
    tokens: int = Field(default=0, description="tokens written by the model in this step")
    parent: int | None = Field(default=None, description="place of the step it follows from, from 0; None is a root")
    issues: tuple[Issue, ...] = Field(default=(), description="the faults it found")
    score: float | None = Field(default=None, description="what a judge made of its parent, 0-1; not a verifier's")
    verified: float | None = Field(default=None, description="the verifier's score of its output as an answer, 0-1")
    error: str | None = Field(default=None, description="why the step failed; the others go on")


class Critique(Record):
    """What the loop thought of a Trace's reply, and a better one if it found one."""

    prefix: ClassVar[str] = "crt"
    subject_field: ClassVar[str | None] = "trace_id"
    payload: ClassVar[frozenset[str]] = frozenset({"steps", "draft", "revision"})
    trace_id: str = Field(description="the Trace it is about")
    cycle_id: str = Field(description="the cycle it was made in")
    method: str = Field(description="the critique method's name")
    basis: str | None = Field(default=None, description="hash of version and settings; equal ones look alike again")
    steps: tuple[Step, ...] = Field(default=(), description="what was tried, in order; a tree by `Step.parent`")
    draft: str | None = Field(default=None, description="the reply that was criticised")
    draft_score: float | None = Field(
        default=None, description="the verifier's score of the draft, 0-1; None: unverifiable"
    )
    revision: str | None = Field(default=None, description="the answer it ended with; None when that is the draft")
    revision_score: float | None = Field(
        default=None, description="the score of the revision, 0-1, by `scored_by`; None: nobody could tell"
    )
    scored_by: Literal["verifier", "self"] = Field(
        default="verifier", description="self: the model's own judgement, where its measured gap allowed that"
    )
    strategy: str | None = Field(default=None, description="the kind of step that produced the answer")
    tokens: int = Field(default=0, description="tokens the model wrote for this critique")
    prompt_tokens: int = Field(default=0, description="tokens the model read for this critique")
    stop_reason: str = Field(
        description="verified, agreed (the critic had no more to say), rounds, tokens, seconds, unverifiable, biased "
        "(a swapped attribute changed the answers), contested (perspectives want opposites) or error"
    )
    needs_review: bool = Field(default=False, description="a person should look: the loop could not decide")
    error: str | None = Field(default=None, description="what failed; a failed item is data, not a crash")

    @property
    def issues(self) -> tuple[Issue, ...]:
        """The faults that its steps found, in order."""
        return tuple(issue for step in self.steps for issue in step.issues)

    @property
    def reflections(self) -> tuple[str, ...]:
        """What the model told itself to do better next time."""
        return tuple(step.output for step in self.steps if step.name == "reflect" and step.error is None)


class Example(Record):
    """One thing to learn, with the evidence it stands on: a pair, a good answer alone, or a bad one alone."""

    prefix: ClassVar[str] = "exa"
    subject_field: ClassVar[str | None] = "cycle_id"
    payload: ClassVar[frozenset[str]] = frozenset({"messages", "chosen", "rejected", "reference"})
    blanked: ClassVar[frozenset[str]] = frozenset({"chosen"})
    cycle_id: str = Field(description="the cycle it was mined in")
    messages: tuple[Message, ...] = Field(description="the prompt")
    chosen: str | None = Field(default=None, description="the answer to learn; None when only a bad one is known")
    rejected: str | None = Field(default=None, description="the answer to unlearn; None when there is none")
    reference: str | None = Field(default=None, description="the right answer in a person's words, where one gave it")
    origin: Origin = Field(description="what kind of evidence it rests on")
    evidence: tuple[str, ...] = Field(min_length=1, description="ids of the Trace, Feedback and Critique it rests on")
    margin: float | None = Field(
        default=None, ge=0, le=1, description="how clearly the evidence says so, 0-1; None: not said"
    )
    weight: float = Field(default=1.0, gt=0, description="how much it counts in training")

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        if self.chosen is None and self.rejected is None:
            raise ValueError("an example has an answer to learn, one to unlearn, or both")
        return self


class Snapshot(Record):
    """An immutable training set, named by its content."""

    prefix: ClassVar[str] = "snp"
    subject_field: ClassVar[str | None] = "cycle_id"
    cycle_id: str = Field(description="the cycle that first built it")
    example_ids: tuple[str, ...] = Field(description="its examples, in training order")
    counts: dict[str, int] = Field(description="examples kept, per origin")
    dropped: dict[str, int] = Field(description="examples dropped, per filter")
    shuffled_labels: bool = Field(default=False, description="a negative control: answers permuted among prompts")
    datasheet: dict[str, Any] = Field(
        default_factory=dict, description="what it is made of, without persons and small groups; empty: not looked at"
    )


class TrainingRun(Record):
    """One attempt to turn a Snapshot into weights."""

    prefix: ClassVar[str] = "run"
    subject_field: ClassVar[str | None] = "snapshot_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"at", "seconds", "model_seconds", "metrics"})
    snapshot_id: str = Field(description="what it learned from")
    method: Method = Field(description="the algorithm")
    reason: str = Field(default="", description="why this algorithm, in a sentence")
    dropped: dict[str, int] = Field(default_factory=dict, description="rows left out before the first step, per reason")
    recipe: dict[str, Any] = Field(description="every hyper-parameter as resolved")
    seed: int = Field(description="random seed of the trainer")
    adapter_digest: str = Field(description="SHA-256 of the adapter's files")
    metrics: dict[str, float] = Field(default_factory=dict, description="final training metrics")
    seconds: float = Field(description="wall-clock seconds of the trainer child")
    model_seconds: float = Field(description="of these, seconds inside forward, backward and optimizer steps")
