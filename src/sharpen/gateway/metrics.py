"""GET /metrics: what the server counts, for Prometheus. With a key set, it needs the key like every other route.

In: the counters. Out: Prometheus' text. Must not know what is counted where.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sharpen.gateway.desk import Desk
from sharpen.monitoring.counters import CONTENT_TYPE, Counters, State
from sharpen.serving.router import Router

_ROUTES = ("/v1/chat/completions", "/v1/feedback", "/v1/traces", "/v1/models", "/metrics", "/healthz", "/readyz")


def routes(desk: Desk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(desk.counters.text(), media_type=CONTENT_TYPE)

    return router


def state_of(router: Router) -> State:
    """Return what is so at this moment."""
    waiting, running = router.load
    shares = router.shares
    return State(waiting=waiting, running=running, swaps=router.swaps, shares=shares, is_ready=bool(shares))


class Counted:
    """ASGI middleware that counts every answer, those that no route gave too."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in _ROUTES else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counters.response(route, message["status"])
            await send(message)

        await self._app(scope, receive, counted)
