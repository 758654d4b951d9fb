"""The engine on a server of OpenAI's protocol: our own gateway, and a server that misbehaves on purpose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import parse
from sharpen.errors import ConfigError, EngineError
from sharpen.models.engine import Job, Request
from sharpen.models.upstream_engine import UpstreamEngine
from sharpen.records import Message, Trace
from sharpen.serving.router import Router
from sharpen.store import Store
from sharpen.testing import deploy
from sharpen.workbench import Workbench

from .conftest import Served, Start

Open = Callable[..., UpstreamEngine]


def ask(text: str, **fields: Any) -> Request:
    return Request((Message(role="user", content=text),), **fields)


def finish(engine: UpstreamEngine, *jobs: Job) -> None:
    deadline = time.monotonic() + 20
    while not all(job.done for job in jobs):
        assert engine.step() and time.monotonic() < deadline


@pytest.fixture
def upstream(tiny_base: Path) -> Iterator[Open]:
    engines: list[UpstreamEngine] = []

    def begin(url: str, model: str = "sharpen") -> UpstreamEngine:
        engines.append(UpstreamEngine(f"{url}/v1", model, tiny_base))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()


class Odd:
    """A server whose answer a test writes: a status and the raw lines of its body."""

    def __init__(self) -> None:
        self.status, self.lines, self.seen = 200, [b""], list[dict[str, Any]]()
        self.silent = threading.Event()
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, [json.dumps({"data": [{"id": "base"}, {"id": "ver_1"}]}).encode()])

            def do_POST(self) -> None:
                odd.seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self._send(odd.status, odd.lines)

            def _send(self, status: int, lines: list[bytes]) -> None:
                self.send_response(status)
                self.end_headers()
                for line in lines:
                    self.wfile.write(line)
                    self.wfile.flush()
                if self.command == "POST":
                    odd.silent.wait(20)

            def log_message(self, *_: Any) -> None:
                pass

        self.silent.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def odd() -> Iterator[Odd]:
    server = Odd()
    yield server
    server.silent.set()
    server.server.shutdown()
    server.server.server_close()


def chunk(text: str | None = None, why: str | None = None, model: str = "ver_1") -> bytes:
    delta = {} if text is None else {"content": text}
    body = {"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": why}]}
    return f"data: {json.dumps(body)}\n\n".encode()


def test_one_line_puts_the_loop_on_another_server(start: Start, tiny_base: Path, tmp_path: Path) -> None:
    served = start()
    tree = {"base": str(tiny_base), "home": str(tmp_path / "own"), "tracking": {"mlflow": False}}
    bench = Workbench(parse(tree | {"models": {"engine": f"openai:{served.url}/v1#sharpen"}}))
    bench.initialise()
    trace = bench.chat("one two")
    bench.model.free()
    assert (trace.reply, trace.error, trace.completion_tokens) == ("ver_0:one ver_0:two", None, 2)
    assert bench.store.get(Trace, trace.id) == trace
    assert [request.messages[-1].content for request in served.stage.requests] == ["one two"]


def test_pieces_come_one_to_one_and_in_order_for_many_at_once(start: Start, upstream: Open) -> None:
    served = start()
    engine = upstream(served.url)
    engine.load("base", None)
    heard: list[list[str]] = [[] for _ in range(24)]
    texts = [" ".join(f"w{row}.{at}" for at in range(15)) for row in range(24)]
    jobs = [Job(ask(text), "base", heard[row].append) for row, text in enumerate(texts)]
    for job in jobs:
        engine.start(job)
    finish(engine, *jobs)
    for job, pieces, text in zip(jobs, heard, texts, strict=True):
        assert job.result is not None and job.result.error is None and job.result.completion_tokens == 15
        assert pieces == [f"ver_0:{word} " for word in text.split()[:-1]] + [f"ver_0:{text.split()[-1]}"]
        assert job.result.text == "".join(pieces)


def test_a_version_answers_under_its_own_name_and_only_if_it_is_listed(
    start: Start, upstream: Open, tmp_path: Path
) -> None:
    served = start()
    served.deploy("ver_1")
    engine = upstream(served.url)
    engine.load("base", None)
    engine.load("ver_0", tmp_path)
    with pytest.raises(EngineError, match="lists no model 'ver_2'"):
        engine.load("ver_2", tmp_path)
    assert engine.generate([ask("a")], "ver_0")[0].text == "ver_0:a"
    assert engine.generate([ask("a"), ask("b")], "base")[1].text == "ver_1:b"
    with pytest.raises(EngineError, match="not loaded"):
        engine.generate([ask("a")], "ver_2")


@pytest.mark.parametrize("live", [True, False])
def test_an_answer_of_another_version_is_never_passed_on(odd: Odd, upstream: Open, tmp_path: Path, live: bool) -> None:
    engine = upstream(odd.url, "base")
    engine.load("ver_1", tmp_path)
    whole = {"model": "ver_9", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    odd.lines = [chunk("hi", model="ver_9"), chunk(None, "stop")] if live else [json.dumps(whole).encode()]
    heard: list[str] = []
    job = Job(ask("a"), "ver_1", heard.append if live else None)
    engine.start(job)
    finish(engine, job)
    assert job.result is not None and job.result.finish_reason == "error" and not job.result.text and not heard
    assert "ver_9" in (job.result.error or "")


@pytest.mark.parametrize(
    ("status", "lines", "why"),
    [
        (200, [chunk("half")], "broke off"),
        (200, [b"data: {not json\n\n"], "malformed"),
        (200, [b'data: {"error": {"message": "secret"}}\n\n'], "failed while it answered"),
        (200, [chunk("x", "content_filter")], "content_filter"),
        (503, [b"secret"], "answered 503"),
        (302, [b""], "answered 302"),
    ],
)
def test_a_fault_of_the_server_is_an_error_and_never_a_short_answer(
    odd: Odd, upstream: Open, tmp_path: Path, status: int, lines: list[bytes], why: str
) -> None:
    engine = upstream(odd.url, "base")
    engine.load("ver_1", tmp_path)
    odd.status, odd.lines = status, lines
    job = Job(ask("a"), "ver_1", lambda _: None)
    engine.start(job)
    finish(engine, job)
    assert job.result is not None and job.result.finish_reason == "error" and not job.result.refused
    assert why in (job.result.error or "") and "secret" not in (job.result.error or "")


def test_what_a_client_asked_for_reaches_the_server_and_nothing_else(odd: Odd, upstream: Open, tmp_path: Path) -> None:
    engine = upstream(odd.url, "base")
    engine.load("ver_1", tmp_path)
    odd.lines = [
        json.dumps({"model": "ver_1", "choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}).encode()
    ]
    request = ask("a", max_new_tokens=3, temperature=0.5, top_p=0.9, seed=7, stop=("\n",))
    (answer,) = engine.generate([request], "ver_1")
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("x", "length", 0)
    assert odd.seen == [
        {
            "model": "ver_1",
            "messages": [{"role": "user", "content": "a"}],
            "max_tokens": 3,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["\n"],
        }
    ]


def test_giving_up_does_not_wait_for_a_silent_server(odd: Odd, upstream: Open, tmp_path: Path) -> None:
    engine = upstream(odd.url, "base")
    engine.load("ver_1", tmp_path)
    odd.lines = [chunk("half")]
    odd.silent.clear()
    heard: list[str] = []
    job = Job(ask("a"), "ver_1", heard.append)
    engine.start(job)
    deadline = time.monotonic() + 20
    while not heard:
        assert engine.step() and time.monotonic() < deadline
    began = time.monotonic()
    engine.cancel(job)
    engine.close()
    assert time.monotonic() - began < 1
    assert job.result is not None and (job.result.text, job.result.finish_reason) == ("half", "cancelled")


def test_a_prompt_that_the_server_refuses_is_the_clients_fault(
    start: Start, upstream: Open, sqlite_store: Store, tmp_path: Path
) -> None:
    served: Served = start()
    engine = upstream(served.url)
    own = Store.open(f"sqlite:///{tmp_path / 'front.db'}")
    deploy(own, engine, "ver_front")
    router = Router(engine, own, tmp_path, poll_s=0.02, max_waiting=8)
    router.start()
    try:
        answer = router.submit(ask("word " * 200)).result(20)
        assert answer.refused and "200 tokens" in (answer.generation.error or "")
        assert router.submit(ask("fine")).result(20).generation.text == "ver_0:fine"
    finally:
        router.stop()
        own.close()


def test_a_server_that_is_not_there_is_told_and_scoring_is_refused(odd: Odd, upstream: Open) -> None:
    with pytest.raises(EngineError, match="does not list its models"):
        upstream("http://127.0.0.1:9").load("base", None)
    with pytest.raises(EngineError, match="log-probability"):
        upstream(odd.url).logprobs([[]], [["a"]], "base")


@pytest.mark.parametrize(
    "spec", ["openai:", "openai:http://host/v1", "openai:ftp://h/v1#m", "openai:http://u:p@h/v1#m", "vllm"]
)
def test_a_line_that_names_no_engine_is_a_fault_of_the_configuration(spec: str) -> None:
    with pytest.raises(ConfigError, match="engine"):
        parse({"models": {"engine": spec}})
