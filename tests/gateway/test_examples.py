"""The snippets of `examples/` against a gateway that runs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sharpen.records import Feedback

Start = Callable[..., Any]
EXAMPLES = Path(__file__).parents[2] / "examples"

# A page has localStorage; here it is a Map. Two pieces are said while there is no network, a third when it is back.
PAGE = """
import { feedbackTo } from %s;
const kept = new Map();
const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
let online = false;
const fetching = (...how) => (online ? fetch(...how) : Promise.reject(new TypeError("offline")));
const say = feedbackTo(%s, { fetch: fetching, storage });
await say({ trace_id: %s, thumb: "down", correction: "hello" });
await say({ trace_id: %s, signal: "copied" });
online = true;
await say({ trace_id: %s, rating: 7 });
console.log(storage.getItem("sharpen-feedback"));
"""


@pytest.fixture(name="served")
def _served(start: Start) -> Any:
    return start()


def snippet() -> Any:
    spec = importlib.util.spec_from_file_location("feedback_example", EXAMPLES / "feedback.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_python_snippet_says_it_once_though_the_first_answer_is_lost(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = snippet()
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
    say = module.Feedback(f"{served.url}/v1")
    real, lost = httpx.Client.post, []

    def losing(self: httpx.Client, *args: Any, **kwargs: Any) -> httpx.Response:
        answer = real(self, *args, **kwargs)
        if not lost:
            lost.append(answer)
            raise httpx.ReadError("the answer was lost")
        return answer

    trace_id = served.chat().json()["id"]
    monkeypatch.setattr(httpx.Client, "post", losing)
    given = say(trace_id=trace_id, thumb="down", correction="hello", source="ada")
    assert [one.id for one in served.store.find(Feedback)] == [given["id"]] and lost
    with pytest.raises(httpx.HTTPStatusError):
        say(trace_id=trace_id, rating=7)


@pytest.mark.outside
def test_the_browser_snippet_keeps_what_it_could_not_send_and_drops_what_was_refused(
    served: Any, tmp_path: Path
) -> None:
    trace_id = json.dumps(served.chat().json()["id"])
    where = json.dumps((EXAMPLES / "feedback.js").as_uri())
    page = PAGE % (where, json.dumps(f"{served.url}/v1/feedback"), trace_id, trace_id, trace_id)
    (tmp_path / "page.mjs").write_text(page, encoding="utf-8")
    ended = subprocess.run(["node", tmp_path / "page.mjs"], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "[]" and "was refused" in ended.stderr
    kept = served.store.find(Feedback)
    assert [(one.rating, one.correction, one.signal) for one in kept] == [(-1, "hello", None), (None, None, "copied")]
