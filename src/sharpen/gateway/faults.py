"""Whatever goes wrong, the client gets a status and a body of the shape that OpenAI's clients know.

In: exceptions. Out: `{"error": {"message", "type", "param", "code"}}`. Must not know the routes.

What went wrong outside of us is told in a general sentence: paths and addresses stay in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from sharpen.capture.feedback import Conflict
from sharpen.errors import BoundaryError, NotFound, Refused, SharpenError
from sharpen.serving.tickets import Overloaded

_log = logging.getLogger(__name__)
_TYPES = {401: "authentication_error", 403: "permission_error", 409: "conflict_error", 429: "rate_limit_error"}

_TOLD: tuple[tuple[type[SharpenError], int, str, dict[str, str]], ...] = (  # the first that fits
    (Overloaded, 429, "overloaded", {"retry-after": "1"}),
    (NotFound, 404, "not_found", {}),
    (Conflict, 409, "conflict", {}),
    (Refused, 400, "refused", {}),
)


class Fault(Exception):  # noqa: N818 - it is not always an error: 429 is a wish
    """An answer other than 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return what the client reads."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return the whole answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def fault_of(error: Exception) -> Fault:
    """Return what a client is told of an exception."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, HTTPException):
        return Fault(error.status_code, str(error.detail), headers=error.headers)
    for kind, status, code, headers in _TOLD:
        if isinstance(error, kind):
            return Fault(status, str(error).replace("\n  → ", " → "), code=code, headers=headers)
    if isinstance(error, BoundaryError):
        _log.error("answered 503: %s", error)
        message = "The model or the store does not answer. The server's log says why."
        return Fault(503, message, code="unavailable", headers={"retry-after": "5"})
    _log.error("answered 500", exc_info=error)
    return Fault(500, "Something went wrong in the server. Its log says what.", code="internal_error")


def install(app: FastAPI) -> None:
    """Let the app answer every exception this way."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code in (404, 405):
            phrase = HTTPStatus(error.status_code).phrase.lower()
            message = f"{request.method} {request.url.path}: {phrase}. The routes are under /v1."
            return Fault(error.status_code, message, headers=error.headers).response()
        return fault_of(error).response()

    for kind in (Fault, SharpenError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
