"""Every route there is has a policy here: a new one fails until somebody says who may ask it, and for what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharpen.gateway.app import create_app
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy
from tests.gateway.conftest import settings

Start = Callable[..., Any]
KEY = "a-key-of-enough-letters"
POLICY = {
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /metrics": "key",
    "GET /v1/models": "key",
    "GET /v1/models/{name:path}": "key",
    "POST /v1/chat/completions": "key",
    "POST /v1/feedback": "key",
    "POST /v1/traces": "key",
}


def routes_of(app: Any) -> set[str]:
    def walk(routes: Any) -> Any:
        for route in routes:
            if getattr(route, "methods", None):
                yield from (f"{method} {route.path}" for method in route.methods - {"HEAD"})
            else:
                yield from walk(getattr(getattr(route, "original_router", None), "routes", ()))

    return set(walk(app.routes))


def test_every_route_has_a_policy(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARPEN_API_KEY", raising=False)
    engine = ScriptedEngine()
    deploy(sqlite_store, engine, "ver_0")
    assert routes_of(create_app(settings(tmp_path), sqlite_store, engine)) == set(POLICY)


def test_the_policies_are_kept(start: Start) -> None:
    served = start(key=KEY)
    for route, policy in POLICY.items():
        method, path = route.split()
        answer = served.http.request(method, path.replace("{name:path}", "sharpen"), headers={"authorization": ""})
        assert answer.status_code == (401 if policy == "key" else 200), route
