"""GET /v1/models: who can be asked.

In: the store's versions. Out: OpenAI's list of models; `sharpen` is whichever version is the champion. Must not know
how a version answers.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sharpen.errors import NotFound
from sharpen.gateway.ask import CHAMPION_NAMES
from sharpen.gateway.desk import Desk
from sharpen.gateway.faults import Fault
from sharpen.records import ModelVersion

_LISTED = 100  # chosen: the newest; older ones still answer by name


def routes(desk: Desk) -> APIRouter:
    """Return the two routes."""
    router = APIRouter()

    @router.get("/v1/models")
    async def everyone() -> dict[str, Any]:
        versions = await desk.off_loop(desk.store.find, ModelVersion, newest=True, limit=_LISTED)
        champion = [_entry(CHAMPION_NAMES[0], await _champion())] if desk.router.champion else []
        return {"object": "list", "data": [*champion, *(_entry(version.id, version) for version in versions)]}

    @router.get("/v1/models/{name:path}")
    async def one(name: str) -> dict[str, Any]:
        try:
            version = await (_champion() if name in CHAMPION_NAMES else desk.off_loop(desk.router.describe, name))
        except NotFound:
            message = f"There is no model '{name}'. Ask for 'sharpen', or for one of GET /v1/models."
            raise Fault(404, message, code="model_not_found", param="model") from None
        return _entry(name, version)

    async def _champion() -> ModelVersion:
        return await desk.off_loop(desk.router.describe, desk.router.champion or "")

    return router


def _entry(name: str, version: ModelVersion) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(version.at.timestamp()),
        "owned_by": "sharpen",
        "root": version.id,
        "parent": version.parent,
    }
