"""What every route needs: the configuration, the store, the router, the counters, and threads for the store.

In: those. Out: the store's answers, without stopping the event loop. Must not know the routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from sharpen.config import Config
from sharpen.monitoring.counters import Counters
from sharpen.serving.router import Router
from sharpen.store import Store

P = ParamSpec("P")
T = TypeVar("T")

_POSTGRES_THREADS = 4  # chosen: under the pool's 5 connections; SQLite has one writer at a time anyway


class Desk:
    """Shared by the routes of one app."""

    def __init__(self, config: Config, store: Store, router: Router, counters: Counters) -> None:
        self.config = config
        self.store = store
        self.router = router
        self.counters = counters
        self._threads = ThreadPoolExecutor(
            max_workers=1 if store.url.startswith("sqlite") else _POSTGRES_THREADS, thread_name_prefix="sharpen-store"
        )
        self._errands: set[asyncio.Task[Any]] = set()

    async def off_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that may block, on a thread of the store's."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def errand(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work that is finished even if its client leaves, or the server begins to stop."""
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    async def close(self) -> None:
        """Finish every errand, then end the threads."""
        await asyncio.gather(*self._errands, return_exceptions=True)
        self._threads.shutdown()
