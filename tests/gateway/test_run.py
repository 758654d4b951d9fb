from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sharpen.config import parse
from sharpen.errors import ConfigError, NotFound, Refused
from sharpen.gateway.run import serve
from sharpen.records import Feedback, Trace
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy

PROGRAM = """
import sys, time
from sharpen.config import load
from sharpen.gateway.run import serve
from sharpen.testing import ScriptedEngine
serve(load(sys.argv[1]), engine=ScriptedEngine(on_step=lambda: time.sleep(0.02)))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A real gateway process over one home."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.file = home / "sharpen.toml"
        self.file.write_text(f'home = "."\n[gateway]\nport = {self.port}\n')
        self.store_url = f"sqlite:///{home / 'store.db'}"
        self.processes: list[subprocess.Popen[str]] = []
        store = Store.open(self.store_url)
        deploy(store, ScriptedEngine(), "ver_0")
        store.close()

    def start(self, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.file)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    for process in gateway.processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def client(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20, trust_env=False)


def exchange(http: httpx.Client) -> str:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    return str(http.post("/v1/chat/completions", json=body).raise_for_status().json()["id"])


@pytest.mark.faults
def test_whatever_was_acknowledged_before_a_kill_is_there_once_after_it(gateway: Gateway) -> None:
    journal: queue.Queue[tuple[str, str]] = queue.Queue()  # the client's name for it, ours
    unanswered: list[dict[str, Any]] = []

    def post_until_dead(trace_id: str, writer: int) -> None:
        with client(gateway) as http:
            for number in range(10_000):
                said = {"trace_id": trace_id, "correction": f"c{number}", "id": f"{trace_id}-{writer}-{number}"}
                try:
                    answer = http.post("/v1/feedback", json=said)
                except httpx.HTTPError:
                    unanswered.append(said)
                    return
                assert answer.status_code == 200
                journal.put((said["id"], answer.json()["id"]))

    for round_ in range(3):
        process, _ = gateway.start()
        with client(gateway) as http:
            trace_id = exchange(http)
        writers = [threading.Thread(target=post_until_dead, args=(trace_id, number)) for number in range(3)]
        for writer in writers:
            writer.start()
        before = journal.qsize()
        while journal.qsize() < before + 10 + 7 * round_:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.join(30)
    gateway.start()
    with client(gateway) as http:  # what got no answer is sent again, and is there once either way
        for said in unanswered:
            journal.put((said["id"], http.post("/v1/feedback", json=said).raise_for_status().json()["id"]))
    acknowledged = sorted(ours for _, ours in journal.queue)
    store = Store.open(gateway.store_url)
    assert len(unanswered) == 9
    assert len(acknowledged) >= 51
    assert sorted(feedback.id for feedback in store.find(Feedback)) == acknowledged
    store.close()


@pytest.mark.faults
@pytest.mark.parametrize(("place", "there_before_retry"), [("store.before_commit:2", 0), ("store.after_commit:2", 1)])
def test_a_kill_around_the_commit_loses_nothing_and_doubles_nothing(
    gateway: Gateway, place: str, there_before_retry: int
) -> None:
    process, _ = gateway.start(SHARPEN_FAILPOINT=place)  # the first commit is the exchange's
    with client(gateway) as http:
        said = {"trace_id": exchange(http), "rating": 1, "source": "ann", "id": "k"}
        with pytest.raises(httpx.HTTPError):
            http.post("/v1/feedback", json=said)
    assert process.wait(20) == -signal.SIGKILL
    store = Store.open(gateway.store_url)
    assert store.count(Feedback) == there_before_retry
    gateway.start()
    with client(gateway) as http:
        assert http.post("/v1/feedback", json=said).status_code == 200
    assert store.count(Feedback) == 1
    store.close()


@pytest.mark.faults
def test_a_ready_line_says_where_and_sigterm_finishes_what_is_on_its_way(gateway: Gateway) -> None:
    process, line = gateway.start()
    assert line == f"sharpen answers at http://127.0.0.1:{gateway.port}/v1"
    results: list[httpx.Response] = []

    def ask() -> None:
        with client(gateway) as http:
            body = {"messages": [{"role": "user", "content": "w " * 30}], "stream": True}
            results.append(http.post("/v1/chat/completions", json=body))

    thread = threading.Thread(target=ask)
    thread.start()
    with client(gateway) as http:
        while http.get("/healthz").json()["running"] == 0:
            time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    thread.join(20)
    assert results[0].text.endswith("data: [DONE]\n\n")
    assert process.wait(20) == 0
    store = Store.open(gateway.store_url)
    assert [trace.completion_tokens for trace in store.find(Trace)] == [30]
    store.close()


def test_a_port_that_is_taken_is_named_with_what_to_type(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)) as caught:
            serve(parse({"home": str(tmp_path), "gateway": {"port": port}}), engine=ScriptedEngine())
    assert "port =" in caught.value.next_step


def test_before_init_serve_says_to_init(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="sharpen init"):
        serve(parse({"home": str(tmp_path), "gateway": {"port": free_port()}}), engine=ScriptedEngine())


def test_serving_others_without_a_key_is_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHARPEN_API_KEY", raising=False)
    with pytest.raises(Refused):
        serve(parse({"home": str(tmp_path), "gateway": {"host": "0.0.0.0"}}), engine=ScriptedEngine())
    assert list(tmp_path.iterdir()) == []
