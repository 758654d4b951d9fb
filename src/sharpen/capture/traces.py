"""An exchange becomes a Trace.

In: messages and what the engine made of them. Out: a Trace that is on disk. Must not know HTTP or the engine's inside.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Write down one exchange; it is on disk when this returns. A failed or broken-off one is written too.

    `trace_id` lets a server name the exchange before it ends. Raises: StoreError; Refused when the id is taken.
    """
    failed = generation.finish_reason == "error"
    trace = Trace(
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
    store.append(trace)
    return trace
