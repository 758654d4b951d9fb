"""What every route needs: the configuration, the store, the router, the counters, and threads for the store.

In: those. Out: the store's answers, without stopping the event loop. Must not know the routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from sharpen.capture.feedback import Recorded, record_sayings
from sharpen.capture.redaction import Redaction
from sharpen.capture.saying import Saying
from sharpen.capture.traces import record_traces
from sharpen.config import Config
from sharpen.gateway.together import Together
from sharpen.monitoring.counters import Counters
from sharpen.records import Trace
from sharpen.serving.router import Router
from sharpen.store import Store

P = ParamSpec("P")
T = TypeVar("T")

_MOST_WAITING = 1024  # chosen: about a second's worth; more would be acknowledged too late to be of use
_POSTGRES_THREADS = 4  # chosen: under the pool's 5 connections; SQLite has one writer at a time anyway


class Desk:
    """Shared by the routes of one app."""

    def __init__(self, config: Config, store: Store, router: Router, counters: Counters) -> None:
        self.config = config
        self.store = store
        self.router = router
        self.counters = counters
        self._redaction = Redaction(config.capture)
        self._threads = ThreadPoolExecutor(
            max_workers=1 if store.url.startswith("sqlite") else _POSTGRES_THREADS, thread_name_prefix="sharpen-store"
        )
        self._errands: set[asyncio.Task[Any]] = set()
        self.sayings: Together[Saying, Recorded] = Together(
            self._record_sayings, self.errand, most_waiting=_MOST_WAITING
        )
        self.traces: Together[Trace, Trace] = Together(self._record_traces, self.errand, most_waiting=_MOST_WAITING)

    async def off_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may block, on a thread of the store's."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def errand(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that is finished even if its client leaves, or the server begins to stop."""
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def _record_sayings(self, sayings: Sequence[Saying]) -> Sequence[Recorded | Exception]:
        return await self.off_loop(lambda: record_sayings(self.store, list(map(self._redaction.saying, sayings))))

    async def _record_traces(self, traces: Sequence[Trace]) -> Sequence[Trace | Exception]:
        return await self.off_loop(lambda: record_traces(self.store, list(map(self._redaction.trace, traces))))

    async def close(self) -> None:
        """Finish every errand, and what those start, then end the threads."""
        while self._errands:
            await asyncio.gather(*self._errands, return_exceptions=True)
        self._threads.shutdown()
