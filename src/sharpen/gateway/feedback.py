"""POST /v1/feedback: what someone says of an answer.

In: the body. Out: the Feedback's id, once it is on disk. Must not know how it is stored.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from starlette.responses import JSONResponse, Response

from sharpen.capture.feedback import Recorded
from sharpen.capture.saying import Saying
from sharpen.gateway.desk import Desk
from sharpen.gateway.limits import read_as
from sharpen.records import Signal

_LONGEST = 200_000  # characters; chosen: a book's chapter, so that one field cannot fill the store
Text = Annotated[str, StringConstraints(max_length=_LONGEST)]
Name = Annotated[str, StringConstraints(max_length=256)]
_VERIFIER = "verifier"  # the source of a verifier that gave no name


class Said(BaseModel):
    """The body. An unknown field is refused: a misspelt correction must not be lost in silence.

    `thumb` and `verified` are short for a rating of -1 or 1; `verified` comes from a program.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    trace_id: Name | None = None
    exchange: Name | None = None
    rating: float | None = None
    thumb: Literal["up", "down"] | None = None
    verified: bool | None = None
    correction: Text | None = None
    comment: Text | None = None
    better_than: Name | None = None
    ranking: list[Name] = Field(default=[], max_length=8)
    signal: Signal | None = None
    sent: Text | None = None
    source: Name | None = None
    source_type: Literal["human", "program"] | None = None
    groups: list[Name] = Field(default=[], max_length=16)
    consent: bool = False
    id: Name | None = None

    @model_validator(mode="after")
    def _one_rating(self) -> Self:
        if sum(one is not None for one in (self.rating, self.thumb, self.verified)) > 1:
            raise ValueError("'rating', 'thumb' and 'verified' say the same thing: send one of them")
        if self.groups and not self.consent:
            raise ValueError("'groups' are kept only with the contributor's consent: send \"consent\": true")
        return self

    def saying(self) -> Saying:
        """Return what was said, as capture takes it."""
        is_verdict = self.verified is not None
        good = self.verified if is_verdict else None if self.thumb is None else self.thumb == "up"
        return Saying(
            trace_id=self.trace_id,
            exchange=self.exchange,
            rating=self.rating if good is None else 1.0 if good else -1.0,
            correction=self.correction,
            comment=self.comment,
            better_than=self.better_than,
            ranking=tuple(self.ranking),
            signal=self.signal,
            sent=self.sent,
            source=self.source or (_VERIFIER if is_verdict else self.source),
            source_type=self.source_type or ("program" if is_verdict else None),
            groups=tuple(self.groups),
            key=self.id,
        )


def routes(desk: Desk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/feedback")
    async def take(request: Request) -> Response:
        said = (await read_as(Said, request)).saying()
        recorded = await desk.sayings.put(said)
        _count(desk, said)
        return JSONResponse(_body(said, recorded))

    return router


def _count(desk: Desk, said: Saying) -> None:
    desk.counters.feedback(said.rating, said.correction is not None)


def _body(said: Saying, recorded: Recorded) -> dict[str, object]:
    first = recorded.feedback[0]
    body: dict[str, object] = {
        "id": first.id,
        "object": "feedback",
        "trace_id": said.about,
        "source_id": first.source_id,
    }
    if recorded.waits:
        body["waits_for_exchange"] = True
    return body
