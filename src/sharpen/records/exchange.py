"""What was asked, answered and said of it; and which version answers.

In: plain values. Out: records of capture, serving and memory. Must not know learning or measuring.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sharpen.records.record import Record, Value

Signal = Literal["regenerated", "copied", "sent"]
MemoryType = Literal["example", "contrast", "critique", "reflection", "lesson", "score", "document", "fact"]


class Message(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="who speaks")
    content: str = Field(description="the words")


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
    payload: ClassVar[frozenset[str]] = frozenset({"correction", "comment", "sent", "groups"})
    trace_id: str = Field(description="the Trace it is about")
    rating: float | None = Field(default=None, description="-1 (bad) to 1 (good); None when only a correction came")
    better_than: str | None = Field(
        default=None, description="another Trace of the same prompt, whose reply is worse; None: nothing was compared"
    )
    correction: str | None = Field(default=None, description="what the reply should have been")
    comment: str | None = Field(default=None, description="free text")
    signal: Signal | None = Field(
        default=None, description="what the user did: asked again, copied the reply, or sent a text on"
    )
    sent: str | None = Field(default=None, description="the text that the user sent on")
    source_id: str | None = Field(default=None, description="the Source it came from")
    groups: tuple[str, ...] = Field(
        default=(), description="groups that the contributor belongs to and consented to have kept, as axis=group"
    )


class Memory(Record):
    """Something kept that may be put into a prompt: an answer, what was said of one, a lesson, a passage."""

    prefix: ClassVar[str] = "mem"
    subject_field: ClassVar[str | None] = "type"
    payload: ClassVar[frozenset[str]] = frozenset({"messages", "reply", "rejected", "reason"})
    type: MemoryType = Field(
        description="example: an answer worth repeating; contrast: a good and a bad answer side by side; "
        "critique: what was wrong; reflection: what the model told itself; lesson: a reflection that helped; "
        "score: an answer and what it was worth; document: a passage; fact: a statement of the knowledge graph"
    )
    messages: tuple[Message, ...] = Field(description="the prompt it answers; empty for a document")
    reply: str = Field(description="the answer, the lesson, the critique or the passage")
    evidence: tuple[str, ...] = Field(min_length=1, description="ids of the records it rests on")
    tenant: str = Field(default="default", description="whose memory it is; nobody else's prompt may hold it")
    rejected: str | None = Field(default=None, description="the bad answer, where there is one")
    score: float | None = Field(default=None, description="what the answer was worth, 0-1; None: nobody could tell")
    reason: str | None = Field(default=None, description="why it was worth that")
