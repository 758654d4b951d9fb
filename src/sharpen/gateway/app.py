"""The app: what is put before what.

In: configuration, store, engine. Out: a FastAPI app that starts and stops its router and its steward. Must not know
what a route does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from sharpen.config import Config
from sharpen.gateway import chat, faults, feedback, metrics, otlp, versions
from sharpen.gateway.auth import Guard, key_for
from sharpen.gateway.desk import Desk
from sharpen.gateway.limits import Limits
from sharpen.gateway.steward import Steward
from sharpen.models.engine import Engine
from sharpen.monitoring.counters import Counters
from sharpen.serving.router import Router
from sharpen.store import Store

_ROOM_FOR_FEEDBACK = 64  # chosen: requests that need no model, beside those that wait for it


def create_app(config: Config, store: Store, engine: Engine) -> FastAPI:
    """Return the app. It starts the router with the server and stops it after the last answer.

    `app.state.router` is the Router. Raises: Refused when others could connect without a key, or the journal's key is
    unfit; ConfigError when an alert could not be sent.
    """
    key = key_for(config.gateway)
    settings = config.gateway
    router = Router(
        engine,
        store,
        config.adapters,
        poll_s=config.serving.poll_s,
        max_waiting=settings.max_waiting,
        max_rows=config.models.max_rows,
    )
    counters = Counters(lambda: metrics.state_of(router))
    desk = Desk(config, store, router, counters)
    steward = Steward(config, store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(router.start)
        steward.start()
        try:
            yield
        finally:
            await asyncio.to_thread(router.stop)
            await asyncio.to_thread(steward.stop)
            await desk.close()

    # No interactive docs: they load scripts from elsewhere.
    app = FastAPI(title="sharpen", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.router = router
    faults.install(app)
    for part in (chat, versions, feedback, otlp, metrics):
        app.include_router(part.routes(desk))

    @app.get("/healthz")
    @app.get("/readyz")
    async def health() -> Response:
        """200 while the champion, or the one before it, answers; 503 before and after."""
        report = router.health()
        return JSONResponse(report, 200 if report["state"] in ("ready", "degraded") else 503)

    # The last one added is the first to see a request.
    app.add_middleware(
        Limits,
        max_body_bytes=settings.max_body_bytes,
        max_requests=settings.max_waiting + config.models.max_rows + _ROOM_FOR_FEEDBACK,
    )
    app.add_middleware(Guard, key=key)
    app.add_middleware(metrics.Counted, counters=counters)
    return app
