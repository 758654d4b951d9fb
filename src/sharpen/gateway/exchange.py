"""One request on its way: from the queue, through the engine, into a Trace.

In: an engine's request. Out: pieces as they are written, then the outcome, once its Trace is on disk. Must not know
the shape of HTTP bodies.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sharpen.capture.saying import trace_id_of
from sharpen.capture.traces import trace_of
from sharpen.gateway.ask import CHAMPION_NAMES
from sharpen.gateway.desk import Desk
from sharpen.gateway.faults import Fault, fault_of
from sharpen.models.engine import Generation, Request
from sharpen.monitoring.counters import Outcome as Counted
from sharpen.records import Trace, new_id
from sharpen.serving.tickets import Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended: a generation, and what the client is told if it is not an answer."""

    generation: Generation
    fault: Fault | None


class Exchange:
    """A submitted request. Make one with `open_exchange`."""

    def __init__(self, desk: Desk, request: Request, session: str | None, name: str | None = None) -> None:
        """`name` is the client's own for it, by which feedback may speak of it before it is there."""
        self.trace_id = new_id(Trace.prefix) if name is None else trace_id_of(name)
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()  # None: no more
        self._desk = desk
        self._request = request
        self._session = session
        self._began = time.perf_counter()
        self._loop = asyncio.get_running_loop()

    async def submit(self, version_id: str | None, listen: bool) -> None:
        """Queue it, for a version or for the champion; `listen` asks for the pieces."""
        router = self._desk.router
        on_text = self._on_text if listen else None
        if version_id is None or version_id in router.versions():
            self._ticket = router.submit(self._request, on_text, version_id, session=self._session)
        else:
            self._ticket = await self._desk.off_loop(router.submit, self._request, on_text, version_id)
        self.version_id = self._ticket.version_id
        self.outcome = self._desk.errand(self._finish())

    def cancel(self) -> None:
        """Give it up: nobody listens any more."""
        self._desk.router.cancel(self._ticket)

    def _on_text(self, piece: str) -> None:
        self._loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    async def _finish(self) -> Outcome:
        """Wait for the answer and write it down. Never raises: what failed is in the outcome."""
        fault: Fault | None = None
        try:
            answer = await asyncio.wrap_future(self._ticket)
        except Exception as error:
            fault = fault_of(error)
            answer = Answer(Generation("", 0, 0, "error", str(error)), self.version_id)
        generation = answer.generation
        if fault is None and generation.finish_reason == "error":
            why = generation.error or "the engine gave no reason"
            if answer.refused:
                code = "context_length_exceeded" if generation.prompt_tokens else "invalid_messages"
                fault = Fault(400, f"The messages were refused: {why}.", code=code, param="messages")
            else:
                fault = Fault(500, f"The model failed: {why}.", code="generation_failed")
        self._count(generation, fault)
        if self._desk.config.capture.traces:
            fault = await self._record(generation) or fault
        self.pieces.put_nowait(None)
        return Outcome(generation, fault)

    def _count(self, generation: Generation, fault: Fault | None) -> None:
        outcome: Counted = "answered" if fault is None else "refused" if fault.status < 500 else "failed"
        if generation.finish_reason == "cancelled":
            outcome = "cancelled"
        seconds = time.perf_counter() - self._began
        tokens = generation.prompt_tokens, generation.completion_tokens
        self._desk.counters.exchange(self.version_id, outcome, seconds, *tokens)

    async def _record(self, generation: Generation) -> Fault | None:
        try:
            await self._desk.traces.put(
                trace_of(
                    messages=self._request.messages,
                    generation=generation,
                    version_id=self.version_id,
                    session=self._session,
                    latency_s=time.perf_counter() - self._began,
                    trace_id=self.trace_id,
                )
            )
        except Exception as error:
            return fault_of(error)
        return None


async def open_exchange(
    desk: Desk, request: Request, *, model: str, session: str | None, listen: bool, name: str | None = None
) -> Exchange:
    """Submit a request to the version that `model` names. Raises: NotFound, Overloaded, EngineError, StoreError."""
    exchange = Exchange(desk, request, session, name)
    await exchange.submit(None if model in CHAMPION_NAMES else model, listen)
    return exchange
