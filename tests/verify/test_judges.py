from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.scripted_judge import ScriptedJudge, make_gold
from typer.testing import CliRunner

from sharpen.cli import app
from sharpen.config import Config, render
from sharpen.errors import ConfigError
from sharpen.models.engine import Engine
from sharpen.testing import ScriptedEngine
from sharpen.verify.judge import Question
from sharpen.verify.judges import open_judge

ASKED = Question("What is 2 + 2?")


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            rating = 10 if "four" in asked["messages"][-1]["content"] else 1
            message = {"role": "assistant", "content": f"Rating: {rating}"}
            body = json.dumps({
                "id": "x", "object": "chat.completion", "created": 0, "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def nobody() -> tuple[Engine, str]:
    raise AssertionError("the engine was not asked for")


def test_a_server_judges_over_http(address: str) -> None:
    judge = open_judge(f"openai:{address}#big", "helpfulness", own=nobody)
    assert judge.rate([(ASKED, "four"), (ASKED, "five")]) == [(1.0, None), (0.0, None)]
    assert judge.name.endswith("#big")


def test_the_engine_judges_as_the_version_that_is_named() -> None:
    engine = ScriptedEngine(lambda request, version: f"{version} thinks. Rating: 10")
    engine.load("ver_1", None)
    judge = open_judge("engine", "safety", own=lambda: (engine, "ver_1"))
    assert (judge.name, judge.rate([(ASKED, "four")])) == ("ver_1", [(1.0, None)])


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("", "is not set"),
        ("gpt", "names nobody"),
        ("openai:localhost", "an address and a model"),
        ("no_such_module:x", "cannot be had"),
        ("json:loads", "cannot be had"),
        ("json:JSONDecoder", "no LangChain chat model"),
    ],
)
def test_what_names_no_judge_is_refused(spec: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        open_judge(spec, "helpfulness", own=nobody)


def test_the_command_prints_the_trial_and_fails_for_a_biased_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("their_judges")
    module.fair = ScriptedJudge()  # type: ignore[attr-defined]
    module.long_winded = lambda: ScriptedJudge(length=0.3)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_judges", module)
    gold = tmp_path / "gold.jsonl"
    gold.write_text("\n".join(row.model_dump_json() for row in make_gold(60)))
    for name, status, words in (("fair", 0, "may label and gate until"), ("long_winded", 1, "may only advise")):
        path = tmp_path / f"{name}.toml"
        path.write_text(
            render(Config.model_validate({"home": tmp_path / name, "evaluation": {"judge": f"their_judges:{name}"}}))
        )
        done = CliRunner().invoke(app, ["judge", str(gold), "--config", str(path)], env={"COLUMNS": "160"})
        assert (done.exit_code, words in " ".join(done.output.split())) == (status, True), done.output
        as_json = CliRunner().invoke(app, ["judge", str(gold), "--config", str(path), "--json"])
        assert json.loads(as_json.stdout)["faults"] == [] or status == 1
