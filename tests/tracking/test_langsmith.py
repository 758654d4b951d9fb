"""LangSmith's own SDK against a server that stands in for LangSmith's: client only, the real one cannot be had here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sharpen.errors import ConfigError, TrackerError
from sharpen.records import Message, Score
from sharpen.tracking.langsmith import LangSmithMirror
from sharpen.verify.cases import make_case

CASES = [
    make_case([Message(role="user", content=f"question {n}")], f"answer {n}", tier="gate", groups=("axis=a",))
    for n in range(3)
]
AT = "2026-01-01T00:00:00Z"


class Server(ThreadingHTTPServer):
    """Keeps what it is told by id, as LangSmith does, and can be told to fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.datasets: dict[str, dict[str, Any]] = {}
        self.examples: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.feedback: dict[str, dict[str, Any]] = {}
        self.keys: set[str | None] = set()
        self.fails = False


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: Any, status: int = 200) -> None:
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_GET(self) -> None:
        url, server = urlsplit(self.path), self.server
        query = parse_qs(url.query)
        server.keys.add(self.headers.get("x-api-key"))
        if server.fails:
            return self.answer({"detail": "forbidden"}, 403)
        if url.path == "/info":
            batch = {"use_multipart_endpoint": False, "size_limit": 100, "size_limit_bytes": 10_000_000,
                     "scale_up_nthreads_limit": 1, "scale_up_qsize_trigger": 100}  # fmt: skip
            return self.answer({"version": "0.13", "batch_ingest_config": batch})
        if url.path == "/datasets":
            return self.answer([one for one in server.datasets.values() if one["name"] in query["name"]])
        if url.path == "/examples":
            rows = [one for one in server.examples.values() if one["dataset_id"] in query["dataset"]]
            return self.answer(rows[int(query.get("offset", ["0"])[0]) :])
        return self.answer({"detail": f"no {url.path}"}, 404)

    def do_POST(self) -> None:
        path, server = urlsplit(self.path).path, self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if server.fails:
            return self.answer({"detail": "forbidden"}, 403)
        if path == "/datasets":
            known = {"id": f"00000000-0000-4000-8000-{len(server.datasets):012d}", "created_at": AT} | body
            server.datasets[known["id"]] = known
            return self.answer(known)
        if path == "/examples/bulk":
            server.examples |= {one["id"]: one | {"created_at": AT} for one in body}
            return self.answer([server.examples[one["id"]] for one in body])
        if path == "/sessions":
            known = {"id": f"00000000-0000-4000-9000-{len(server.projects):012d}", "start_time": AT,
                     "tenant_id": "00000000-0000-4000-8000-000000000000"} | body  # fmt: skip
            server.projects.setdefault(body["name"], known)
            return self.answer(server.projects[body["name"]])
        if path == "/runs/batch":
            server.runs |= {one["id"]: one for one in body["post"]}
            return self.answer({}, 202)
        if path == "/feedback":
            server.feedback[body["id"]] = body
            return self.answer(body | {"created_at": AT, "modified_at": AT})
        return self.answer({"detail": f"no {path}"}, 404)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def mirror(server: Server) -> LangSmithMirror:
    return LangSmithMirror(f"http://127.0.0.1:{server.server_port}", "k")


def scored(arm: str = "challenger") -> list[Score]:
    values = [(1.0, None, "answer 0"), (0.0, None, "no"), (None, "it timed out", None)]
    return [
        Score(
            id=f"scr_{arm}_{case.id}", evaluation_id="evl_1", arm=arm, version_id="ver_1", suite="inbox", tier="gate",
            scorer="exact", case_id=case.id, cluster=case.cluster, value=value, reason=reason, reply=reply,
        )
        for case, (value, reason, reply) in zip(CASES, values, strict=True)
    ]  # fmt: skip


def test_a_suite_becomes_a_dataset_once_client_only(server: Server) -> None:
    first = mirror(server).record_suite("inbox", CASES)
    assert mirror(server).record_suite("inbox", CASES) == first
    assert mirror(server).record_suite("inbox", CASES[:2]) != first
    assert len(server.datasets) == 2 and server.keys == {"k"}
    rows = [one for one in server.examples.values() if one["dataset_id"] == first]
    assert sorted(one["inputs"]["messages"][0]["content"] for one in rows) == ["question 0", "question 1", "question 2"]
    assert {one["outputs"]["reference"] for one in rows} == {"answer 0", "answer 1", "answer 2"}
    assert {one["metadata"]["case"] for one in rows} == {case.id for case in CASES}


def test_an_arm_becomes_an_experiment_with_a_feedback_per_score_client_only(server: Server) -> None:
    dataset_id = mirror(server).record_suite("inbox", CASES)
    for _ in range(2):
        name = mirror(server).record_experiment(dataset_id, CASES, scored())
    assert server.projects.keys() == {name}
    assert server.projects[name]["reference_dataset_id"] == dataset_id
    assert len(server.runs) == 3 and len(server.feedback) == 3
    runs = sorted(server.runs.values(), key=lambda one: one["inputs"]["messages"][0]["content"])
    assert [(run.get("outputs") or {}).get("reply") for run in runs] == ["answer 0", "no", None]
    assert [run.get("error") for run in runs] == [None, None, "it timed out"]
    assert {run["reference_example_id"] for run in runs} == server.examples.keys()
    said = {one["run_id"]: one for one in server.feedback.values()}
    assert [said[run["id"]].get("score") for run in runs] == [1.0, 0.0, None]
    assert said[runs[2]["id"]]["comment"] == "it timed out"
    assert {one["key"] for one in said.values()} == {"exact"}


def test_two_arms_are_two_experiments_client_only(server: Server) -> None:
    dataset_id = mirror(server).record_suite("inbox", CASES)
    for arm in ("champion", "challenger"):
        mirror(server).record_experiment(dataset_id, CASES, scored(arm))
    assert len(server.projects) == 2 and len(server.runs) == 6
    with pytest.raises(ConfigError, match="one arm"):
        mirror(server).record_experiment(dataset_id, CASES, scored() + scored("champion"))


def test_a_server_that_refuses_is_a_tracker_error_client_only(server: Server) -> None:
    opened = mirror(server)
    server.fails = True
    with pytest.raises(TrackerError, match="LangSmith refused"):
        opened.record_suite("inbox", CASES)


def test_without_a_key_it_says_what_to_set() -> None:
    with pytest.raises(ConfigError) as caught:
        LangSmithMirror("https://example.org", "")
    assert "LANGSMITH_API_KEY" in caught.value.next_step
