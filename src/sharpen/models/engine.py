"""What an engine is: something that answers batches of prompts as a named, immutable version of the model.

In: requests. Out: generations and log-probabilities. Must not know why they were asked for.

One thread at a time calls an engine. Work is started and stepped, so that a server can let new requests join between
two steps; `generate` is the same thing run to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from sharpen.records import Message

Prompt = Sequence[Message]
FinishReason = Literal["stop", "length", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt, and how to answer it."""

    messages: Prompt
    max_new_tokens: int = 64
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: FinishReason
    error: str | None = None
    refused: bool = False  # with an error: it is the request's own fault


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way. `on_text` gets each new piece of the answer, on the engine's thread."""

    request: Request
    version_id: str
    on_text: Callable[[str], None] | None = None
    result: Generation | None = field(default=None)

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self.result is not None


class Engine(Protocol):
    """A model that can hold several adapters and answers as the one that is asked for."""

    base_digest: str
    """SHA-256 of the base's weights and config, first 16 digits."""

    template_digest: str
    """SHA-256 of the chat template, first 16 digits."""

    @property
    def model_seconds(self) -> float:
        """Seconds spent inside forward passes so far."""
        ...

    @property
    def versions(self) -> frozenset[str]:
        """The version ids that are loaded."""
        ...

    def load(self, version_id: str, adapter: Path | None) -> None:
        """Make a version answerable: an adapter folder, or None for the bare base. Loading twice is loading once.

        Raises: EngineError when the adapter does not fit the base.
        """
        ...

    def unload(self, version_id: str) -> None:
        """Forget a version. Jobs of it that are on their way end with finish_reason 'error'."""
        ...

    def start(self, job: Job) -> None:
        """Queue a job. A prompt that is too long gives a result with finish_reason 'error', not an exception.

        Raises: EngineError when the version is not loaded.
        """
        ...

    def cancel(self, job: Job) -> None:
        """Stop a job; its result has finish_reason 'cancelled'."""
        ...

    def step(self) -> bool:
        """Advance every job by one token. Returns False when there was nothing to do."""
        ...

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Answer all requests, batched; the results are in the order of the requests."""
        ...

    def logprobs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], version_id: str, *, ended: bool = True
    ) -> list[list[float]]:
        """Return, per prompt and per its given completions, the sum of token log-probabilities (nats).

        `ended` counts the end of the turn as well; without it a completion may go on.
        """
        ...

    def close(self) -> None:
        """Free the weights."""
        ...


def answer_all(engine: Engine, requests: Sequence[Request], version_id: str) -> list[Generation]:
    """Start every request, step until all are answered, and leave nothing behind when a step fails."""
    jobs = [Job(request, version_id) for request in requests]
    try:
        for job in jobs:
            engine.start(job)
        while any(not job.done for job in jobs):
            engine.step()
    finally:
        for job in jobs:
            engine.cancel(job)
    return [job.result for job in jobs if job.result is not None]
