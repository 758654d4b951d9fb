"""POST /v1/chat/completions, as OpenAI's clients know it.

In: the body. Out: a completion or a stream of chunks; `id` is the Trace that feedback names. Must not know the engine.

The Trace is on disk before the answer is sent; of a stream, before its last chunk. Who hangs up stops the work.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sharpen.capture.saying import LONGEST_NAME, trace_id_of
from sharpen.errors import NotFound
from sharpen.gateway.ask import Ask
from sharpen.gateway.desk import Desk
from sharpen.gateway.exchange import Exchange, Outcome, open_exchange
from sharpen.gateway.faults import Fault
from sharpen.gateway.limits import read_as
from sharpen.records import Trace


def routes(desk: Desk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        ask = await read_as(Ask, request)
        exchange = await _opened(desk, ask, request)
        headers = {"x-sharpen-version": exchange.version_id}
        if desk.config.capture.traces:
            headers["x-sharpen-trace"] = exchange.trace_id
        watch = asyncio.create_task(_cancel_when_gone(request, exchange))
        exchange.outcome.add_done_callback(lambda _: watch.cancel())
        try:
            # A stream's status is known with its first piece: a prompt that is refused must not begin with 200.
            first = await exchange.pieces.get() if ask.stream else None
            outcome = None if first is not None else await asyncio.shield(exchange.outcome)
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        if outcome is not None and outcome.fault is not None:
            outcome.fault.headers |= headers
            raise outcome.fault
        if ask.stream:
            events = _events(exchange, first, usage=bool(ask.stream_options and ask.stream_options.include_usage))
            headers["cache-control"] = "no-store"
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        return JSONResponse(_completion(exchange, await exchange.outcome), headers=headers)

    return router


async def _opened(desk: Desk, ask: Ask, request: Request) -> Exchange:
    session, name = request.headers.get("x-sharpen-session"), request.headers.get("x-sharpen-exchange")
    asked = ask.request(desk.config.gateway.max_reply_tokens)
    session = ask.session(session)
    if name is not None:
        await _check_unused(desk, name)
    try:
        return await open_exchange(desk, asked, model=ask.model, session=session, listen=bool(ask.stream), name=name)
    except NotFound:
        message = f"There is no model '{ask.model}'. Ask for 'sharpen', or for one of GET /v1/models."
        raise Fault(404, message, code="model_not_found", param="model") from None


async def _check_unused(desk: Desk, name: str) -> None:
    """Refuse a client's name for an exchange that cannot be one, or is taken: before the model is asked."""
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
        message = f"x-sharpen-exchange: use 1 to {LONGEST_NAME} printable characters."
        raise Fault(400, message, code="invalid_exchange")
    if await desk.off_loop(desk.store.find, Trace, ids=[trace_id_of(name)]):
        raise Fault(409, f"The exchange '{name}' is there already; give each a name of its own.", code="conflict")


async def _cancel_when_gone(request: Request, exchange: Exchange) -> None:
    """The body is read, so the only news that can come from the client is that it is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    exchange.cancel()


def _completion(exchange: Exchange, outcome: Outcome) -> dict[str, Any]:
    generation = outcome.generation
    message = {"role": "assistant", "content": generation.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": generation.finish_reason}
    return _frame(exchange, "chat.completion") | {"choices": [choice], "usage": _usage(outcome)}


async def _events(exchange: Exchange, first: str | None, *, usage: bool) -> AsyncIterator[bytes]:
    """Yield the stream: who speaks, each piece, why it ended, the usage if asked for, and [DONE]."""
    frame = _frame(exchange, "chat.completion.chunk") | ({"usage": None} if usage else {})

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event(frame | {"choices": [choice]})

    try:
        yield chunk({"role": "assistant", "content": ""})
        piece = first
        while piece is not None:
            yield chunk({"content": piece})
            piece = await exchange.pieces.get()
        outcome = await asyncio.shield(exchange.outcome)
        if outcome.fault is not None:
            yield _event(outcome.fault.body())
            return
        yield chunk({}, outcome.generation.finish_reason)
        if usage:
            yield _event(frame | {"choices": [], "usage": _usage(outcome)})
        yield b"data: [DONE]\n\n"
    finally:
        exchange.cancel()  # a stream that was broken off; nothing happens to one that has ended


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def _frame(exchange: Exchange, kind: str) -> dict[str, Any]:
    """Return what every body begins with; `model` is the version that answers, which can be asked for by that name."""
    return {
        "id": exchange.trace_id,
        "object": kind,
        "created": int(time.time()),
        "model": exchange.version_id,
        "system_fingerprint": exchange.version_id,
    }


def _usage(outcome: Outcome) -> dict[str, int]:
    prompt, completion = outcome.generation.prompt_tokens, outcome.generation.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
