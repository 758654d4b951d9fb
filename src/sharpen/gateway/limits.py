"""A request's body is read here, whole, within bounds of size, time and number.

In: the raw request. Out: the body, checked, or 400, 408, 413, 415 or 429. Must not know the routes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sharpen.gateway.faults import Fault

M = TypeVar("M", bound=BaseModel)
_READ_S = 30.0  # chosen: a megabyte at 300 kbit/s
_DRAIN_FACTOR = 8  # chosen: a client that is still sending a body this much too long may still read our answer


class Limits:
    """ASGI middleware that bounds what clients can make the server hold.

    At most `max_requests` requests are inside at any time, each with a body of at most `max_body_bytes`.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_requests: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_requests = max_requests
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if self._inside >= self._max_requests:
            busy = Fault(429, "Too many requests at once.", code="overloaded", headers={"retry-after": "1"})
            await busy.response()(scope, receive, send)
            return
        self._inside += 1
        try:
            body = await self._read(receive)
            await self._app(scope, _replay(body, receive), send)
        except _Gone:
            return
        except Fault as fault:
            await fault.response()(scope, receive, send)
        finally:
            self._inside -= 1

    async def _read(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(_READ_S):
                body = await self._collect(receive)
        except TimeoutError:
            raise Fault(408, f"The body did not arrive within {_READ_S:.0f} s.", code="timeout") from None
        if body is None:
            message = f"The body is longer than {self._max_body_bytes} bytes."
            raise Fault(413, message, code="body_too_large", headers={"connection": "close"})
        return body

    async def _collect(self, receive: Receive) -> bytes | None:
        """Return the body, or None when it is too long."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            size += len(message.get("body", b""))
            if size <= self._max_body_bytes:
                parts.append(message.get("body", b""))
            else:
                parts.clear()
            if not message.get("more_body", False) or size > self._max_body_bytes * _DRAIN_FACTOR:
                return b"".join(parts) if size <= self._max_body_bytes else None


async def read_as(kind: type[M], request: Request) -> M:
    """Return a request's body as a checked model.

    Raises: Fault 415 when it is not called JSON, 400 when it is not JSON, names a field twice, or is not what `kind`
    describes.
    """
    # A page of another site can post text/plain here unasked, but application/json only after a preflight request,
    # which nobody answers: without this check any site could rate on the user's behalf.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        message = "The body must be JSON: send the header 'Content-Type: application/json'."
        raise Fault(415, message, code="unsupported_media_type")
    try:
        body = await request.body()
        read = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        message = f"{param}: {first['msg']}" if param else first["msg"]
        raise Fault(400, message, code=first["type"], param=param) from error
    # Numbers are left as they are written: only the names matter here.
    json.loads(body, object_pairs_hook=_check_named_once, parse_int=str)
    return read


def _check_named_once(pairs: Sequence[tuple[str, object]]) -> None:
    """Refuse a name that is given twice: of two readers of one body, each may believe another one."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        name = next(name for place, name in enumerate(names) if name in names[:place])
        raise Fault(400, f"'{name[:64]}' is given twice; give it once.", code="duplicate_field", param=name[:64])


class _Gone(Exception):  # noqa: N818 - nobody is left to be told of an error
    """The client hung up."""


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then whatever comes: a disconnect."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
