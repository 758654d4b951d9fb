"""Many streams at once: each gets its own pieces, one to one and in order, and each has its Trace."""

from __future__ import annotations

import asyncio
import json

import httpx

from sharpen.records import Trace

from .conftest import Start

STREAMS, WORDS = 200, 8


async def read(client: httpx.AsyncClient, number: int) -> tuple[str, list[str]]:
    """Return the stream's id and its pieces, as they lie in its chunks."""
    text = " ".join(f"s{number}.{at}" for at in range(WORDS))
    body = {"messages": [{"role": "user", "content": text}], "stream": True}
    ids, pieces, lines = set(), [], []
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            lines += [line.removeprefix("data: ")] if line else []
    assert lines.pop() == "[DONE]"
    for told in map(json.loads, lines):
        ids.add(told["id"])
        pieces += [told["choices"][0]["delta"].get("content", "")]
    assert len(ids) == 1
    return ids.pop(), [piece for piece in pieces if piece]


def test_two_hundred_streams_at_once_each_get_their_own_pieces_in_order(start: Start) -> None:
    served = start()

    async def everyone() -> list[tuple[str, list[str]]]:
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(base_url=served.url, limits=limits, timeout=60, trust_env=False) as client:
            return await asyncio.gather(*(read(client, number) for number in range(STREAMS)))

    told = asyncio.run(everyone())
    for number, (trace_id, pieces) in enumerate(told):
        words = [f"ver_0:s{number}.{at}" for at in range(WORDS)]
        assert pieces == [f"{word} " for word in words[:-1]] + words[-1:]
        assert served.store.get(Trace, trace_id).reply == " ".join(words)
