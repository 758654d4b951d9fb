"""A real server on a free port, with a scripted engine behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from sharpen.config import Config, parse
from sharpen.gateway.app import create_app
from sharpen.models.engine import Request
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy


class Stage:
    """What the tests do to the engine: hold its steps, make them fail, or change what it says."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.step_s = 0.0
        self.script: Callable[[Request, str], str] | None = None
        self.requests: list[Request] = []

    def on_step(self) -> None:
        assert self.go.wait(20)
        time.sleep(self.step_s)
        if self.error is not None:
            raise self.error

    def say(self, request: Request, version_id: str) -> str:
        self.requests.append(request)
        if self.script:
            return self.script(request, version_id)
        return " ".join(f"{version_id}:{word}" for word in request.messages[-1].content.split())


@dataclass
class Served:
    """A running server, and what is behind it."""

    url: str
    config: Config
    store: Store
    engine: ScriptedEngine
    stage: Stage
    http: httpx.Client
    client: openai.OpenAI

    def deploy(self, version_id: str) -> None:
        deploy(self.store, self.engine, version_id)
        deadline = time.monotonic() + 10
        while self.http.get("/healthz").json()["champion"] != version_id:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def chat(self, **body: Any) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "hi you"}]} | body)


Start = Callable[..., Served]


def settings(tmp_path: Path, **sections: Any) -> Config:
    tree: dict[str, Any] = {"home": str(tmp_path), "serving": {"poll_s": 0.02}}
    return parse(tree | sections)


@pytest.fixture
def start(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    servers: list[tuple[uvicorn.Server, threading.Thread, Served]] = []
    monkeypatch.delenv("SHARPEN_API_KEY", raising=False)

    def begin(*, key: str | None = None, **sections: Any) -> Served:
        if key is not None:
            monkeypatch.setenv("SHARPEN_API_KEY", key)
        config = settings(tmp_path, **sections)
        stage = Stage()
        engine = ScriptedEngine(stage.say, on_step=stage.on_step, max_context_tokens=100)
        deploy(sqlite_store, engine, "ver_0")
        app = create_app(config, sqlite_store, engine)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.005)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        headers = {"authorization": f"Bearer {key}"} if key else {}
        served = Served(
            url,
            config,
            sqlite_store,
            engine,
            stage,
            httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False),
            openai.OpenAI(
                base_url=f"{url}/v1",
                api_key=key or "unused",
                max_retries=0,
                timeout=20,
                http_client=httpx.Client(trust_env=False)
                if issubclass(openai.DefaultHttpxClient, httpx.Client)
                else None,
            ),
        )
        servers.append((server, thread, served))
        return served

    yield begin
    for server, thread, served in servers:
        served.stage.go.set()
        served.stage.error = None
        served.http.close()
        served.client.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
