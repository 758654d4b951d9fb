"""An exchange becomes a Trace.

In: messages and what the engine made of them. Out: a Trace that is on disk. Must not know HTTP or the engine's inside.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.errors import Refused, SharpenError
from sharpen.models.engine import Generation
from sharpen.records import Message, Trace, new_id
from sharpen.store import Store


def record_trace(
    store: Store,
    *,
    messages: Sequence[Message],
    generation: Generation,
    version_id: str,
    session: str | None = None,
    latency_s: float = 0.0,
    trace_id: str | None = None,
) -> Trace:
    """Write down one exchange; it is on disk when this returns. Raises: StoreError; Refused when the id is taken."""
    trace = trace_of(
        messages=messages,
        generation=generation,
        version_id=version_id,
        session=session,
        latency_s=latency_s,
        trace_id=trace_id,
    )
    store.append(trace)
    return trace


def record_traces(store: Store, traces: Sequence[Trace]) -> list[Trace | SharpenError]:
    """Write down many exchanges in one transaction; what is wrong with one is its own outcome. Raises: StoreError."""
    try:
        store.append(*traces)
    except Refused:
        return [_written(store, trace) for trace in traces]
    return list(traces)


def _written(store: Store, trace: Trace) -> Trace | SharpenError:
    try:
        store.append(trace)
    except Refused as error:
        return error
    return trace


def trace_of(
    *,
    messages: Sequence[Message],
    generation: Generation,
    version_id: str,
    session: str | None = None,
    latency_s: float = 0.0,
    trace_id: str | None = None,
) -> Trace:
    """Return the Trace of one exchange. A failed or broken-off one is one too.

    `trace_id` lets a server name the exchange before it ends.
    """
    failed = generation.finish_reason == "error"
    return Trace(
        id=trace_id or new_id(Trace.prefix),
        messages=tuple(messages),
        reply=None if failed and not generation.text else generation.text,
        version_id=version_id,
        session=session,
        prompt_tokens=generation.prompt_tokens,
        completion_tokens=generation.completion_tokens,
        latency_s=latency_s,
        finish_reason=generation.finish_reason,
        error=(generation.error or "the engine gave no reason") if failed else None,
    )
