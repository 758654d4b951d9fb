from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sharpen.gateway.together import Together
from sharpen.serving.tickets import Overloaded


class Disk:
    """Writes portions when it is let, and takes note of each."""

    def __init__(self) -> None:
        self.portions: list[list[int]] = []
        self.go = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def write(self, portion: Sequence[int]) -> Sequence[str | Exception]:
        self.portions.append(list(portion))
        await self.go.wait()
        if 1000 in portion:
            raise OSError("the disk is full")
        return [ValueError(str(one)) if one < 0 else str(one) for one in portion]

    def queue(self, most_waiting: int = 1000) -> Together[int, str]:
        def errand(work: object) -> asyncio.Task[None]:
            task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[arg-type]
            self.tasks.add(task)
            return task

        return Together(self.write, errand, most_waiting=most_waiting)


async def begun(*works: object) -> list[asyncio.Future[str]]:
    futures: list[asyncio.Future[str]] = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    await asyncio.sleep(0.01)
    return futures


def test_what_comes_while_one_is_written_is_written_together() -> None:
    async def story() -> None:
        disk = Disk()
        queue = disk.queue()
        futures = await begun(queue.put(0))
        futures += await begun(*[queue.put(number) for number in range(1, 301)])
        disk.go.set()
        assert await asyncio.gather(*futures) == [str(number) for number in range(301)]
        assert [len(portion) for portion in disk.portions] == [1, 256, 44]

    asyncio.run(story())


def test_a_fault_of_one_is_its_own_and_a_fault_of_the_disk_is_everyone_s_of_that_portion() -> None:
    async def story() -> None:
        disk = Disk()
        queue = disk.queue()
        futures = await begun(queue.put(1))
        futures += await begun(queue.put(-2), queue.put(3))
        disk.go.set()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [str(one) for one in results] == ["1", "-2", "3"] and isinstance(results[1], ValueError)
        futures = await begun(queue.put(12), queue.put(1000), queue.put(14))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert {type(one) for one in results[1:]} == {OSError}
        assert await queue.put(15) == "15"

    asyncio.run(story())


def test_too_much_is_refused_before_it_is_taken_and_who_leaves_takes_nothing_back() -> None:
    async def story() -> None:
        disk = Disk()
        queue = disk.queue(most_waiting=2)
        futures = await begun(queue.put(0))
        futures += await begun(queue.put(1), queue.put(2))
        with pytest.raises(Overloaded):
            await queue.put(3)
        futures[1].cancel()
        disk.go.set()
        assert await futures[2] == "2"
        assert sorted(number for portion in disk.portions for number in portion) == [0, 1, 2]

    asyncio.run(story())
