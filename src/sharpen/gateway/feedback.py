"""POST /v1/feedback: what someone says of an answer.

In: the body. Out: the Feedback's id, once it is on disk. Must not know how it is stored.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from sharpen.capture.feedback import record_feedback
from sharpen.gateway.desk import Desk
from sharpen.gateway.limits import read_as


class Said(BaseModel):
    """The body. An unknown field is refused: a misspelt correction must not be lost in silence."""

    model_config = ConfigDict(strict=True, extra="forbid")

    trace_id: str
    rating: float | None = None
    correction: str | None = None
    comment: str | None = None
    better_than: str | None = None
    source: str | None = None
    source_type: Literal["human", "program"] | None = None
    id: str | None = None


def routes(desk: Desk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/feedback")
    async def take(request: Request) -> Response:
        said = await read_as(Said, request)
        given = said.model_dump(exclude={"id"})
        feedback = await desk.off_loop(record_feedback, desk.store, **given, key=said.id)
        desk.counters.feedback(feedback.rating, feedback.correction is not None)
        body = {"id": feedback.id, "object": "feedback", "trace_id": feedback.trace_id, "source_id": feedback.source_id}
        return JSONResponse(body)

    return router
