"""Group commit: what waits is written in one transaction, and each is told when it is on disk.

In: things to write, one at a time, from many requests. Out: what became of each. Must not know what is written.

While one transaction is on its way to the disk, the next ones' things gather; nothing waits for company. A commit costs
the same for one thing and for a hundred, so the busier it is, the cheaper each becomes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from sharpen.serving.tickets import Overloaded

T = TypeVar("T")
R = TypeVar("R")

_MOST_TOGETHER = 256  # chosen: some 20 ms of inserts, so that nobody waits long behind a full portion


class Together(Generic[T, R]):
    """One queue of things to write. `write` takes a portion, and returns a result or an exception for each."""

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        errand: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        *,
        most_waiting: int,
    ) -> None:
        """`errand` starts a task that is finished even when the server begins to stop."""
        self._write = write
        self._errand = errand
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._is_writing = False

    async def put(self, thing: T) -> R:
        """Write it, with what else waits; return its result. Who leaves while waiting does not take it back.

        Raises: Overloaded before it is taken, when too much waits; what `write` gave or raised.
        """
        self.check_room(1)
        told: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, told))
        if not self._is_writing:
            self._is_writing = True
            self._errand(self._drain())
        return await told

    def check_room(self, things: int) -> None:
        """Raises: Overloaded when so many more would be too many."""
        if len(self._waiting) + things > self._most_waiting:
            raise Overloaded("More is said than can be written down at once.", "send it again in a moment")

    async def _drain(self) -> None:
        try:
            while self._waiting:
                portion = [self._waiting.popleft() for _ in range(min(_MOST_TOGETHER, len(self._waiting)))]
                await self._write_portion(portion)
        finally:
            self._is_writing = False

    async def _write_portion(self, portion: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._write([thing for thing, _ in portion])
        except Exception as error:  # the whole transaction failed: everyone is told
            results = [error] * len(portion)
        for (_, told), result in zip(portion, results, strict=True):
            if told.done():  # its client left
                continue
            if isinstance(result, Exception):
                told.set_exception(result)
            else:
                told.set_result(result)
