from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharpen.records import Trace

Start = Callable[..., Any]


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


UNSUPPORTED: list[dict[str, Any]] = [
    {"n": 2},
    {"logprobs": True},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"tool_choice": "required"},
    {"response_format": {"type": "json_object"}},
    {"logit_bias": {"1": 5}},
    {"presence_penalty": 0.5},
    {"modalities": ["audio"]},
]
WRONG: list[dict[str, Any]] = [
    {"messages": []},
    {"messages": "hi"},
    {"messages": None},
    {"messages": [{"role": "user", "content": "x"}] * 1025},
    {"messages": [{"role": "wizard", "content": "x"}]},
    {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
    {"messages": [{"content": "x"}]},
    user(None),
    user(7),
    user([{"type": "image_url", "image_url": {"url": "http://x"}}]),
    user("nul \x00"),
    {"max_tokens": -1},
    {"max_tokens": 0},
    {"max_tokens": 10**30},
    {"max_tokens": 1025},
    {"max_tokens": "5"},
    {"max_tokens": True},
    {"max_completion_tokens": 2.5},
    {"temperature": -0.1},
    {"temperature": 2.1},
    {"temperature": "hot"},
    {"top_p": 0},
    {"top_p": 1.5},
    {"seed": 10**30},
    {"stop": ["a", "b", "c", "d", "e"]},
    {"stop": [""]},
    {"stop": 3},
    {"stream": "yes"},
    {"model": ""},
    {"model": 4},
    {"model": "x" * 200},
    {"user": "x" * 200},
    {"user": "line\nbreak"},
]
RAW = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    b'{"messages": [{"role": "user", "content": "x"}], "temperature": -Infinity}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.fixture(name="served")
def _served(start: Start) -> Any:
    return start()


def check_refused(response: Any, status: int = 400) -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] == "invalid_request_error"


def test_what_would_change_the_answer_and_cannot_be_done_is_refused_by_name(served: Any) -> None:
    for body in UNSUPPORTED:
        response = served.chat(**body)
        check_refused(response)
        assert response.json()["error"]["param"] in body
        assert response.json()["error"]["code"] == "unsupported_parameter"


def test_wrong_fields_are_refused_and_reach_neither_engine_nor_store(served: Any) -> None:
    for body in WRONG:
        check_refused(served.chat(**body))
    assert served.stage.requests == []
    assert served.store.count(Trace) == 0


def test_what_is_not_a_json_object_is_refused(served: Any) -> None:
    for body in RAW:
        check_refused(
            served.http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        )
    assert served.chat().status_code == 200


def test_a_body_that_another_site_could_post_unasked_is_refused(served: Any) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        for path in ("/v1/chat/completions", "/v1/feedback"):
            response = served.http.post(path, content=b"{}", headers={"content-type": kind})
            check_refused(response, 415)


def test_a_message_names_the_field_that_is_wrong(served: Any) -> None:
    assert served.chat(temperature=9).json()["error"]["param"] == "temperature"
    assert "max_reply_tokens" in served.chat(max_tokens=5000).json()["error"]["message"]
