from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharpen.records import Feedback, Source

Start = Callable[..., Any]


@pytest.fixture(name="served")
def _served(start: Start) -> Any:
    return start()


def test_feedback_on_an_answer_is_kept_with_who_gave_it(served: Any) -> None:
    trace_id = served.chat().json()["id"]
    response = served.http.post(
        "/v1/feedback", json={"trace_id": trace_id, "rating": -1, "correction": "hello", "source": "ann"}
    )
    assert response.status_code == 200
    kept = served.store.get(Feedback, response.json()["id"])
    assert (kept.trace_id, kept.rating, kept.correction) == (trace_id, -1, "hello")
    assert served.store.get(Source, kept.source_id).name == "ann"


def test_sending_it_again_gives_the_same_answer_and_sending_another_a_conflict(served: Any) -> None:
    said = {"trace_id": served.chat().json()["id"], "correction": "hello", "id": "mine-1"}
    first, second = (served.http.post("/v1/feedback", json=said) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    other = served.http.post("/v1/feedback", json=said | {"correction": "good day"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert [feedback.correction for feedback in served.store.find(Feedback)] == ["hello"]


def test_an_unknown_exchange_is_a_404_that_helps(served: Any) -> None:
    response = served.http.post("/v1/feedback", json={"trace_id": "trc_none", "rating": 1})
    assert response.status_code == 404
    assert "`id` of a chat completion" in response.json()["error"]["message"]


def test_malformed_feedback_is_a_400_and_changes_nothing(served: Any) -> None:
    trace_id = served.chat().json()["id"]
    for body in [
        {"rating": 1},
        {"trace_id": trace_id},
        {"trace_id": trace_id, "rating": 2},
        {"trace_id": trace_id, "rating": "1"},
        {"trace_id": trace_id, "rating": True},
        {"trace_id": trace_id, "correction": ""},
        {"trace_id": trace_id, "correction": "nul \x00"},
        {"trace_id": trace_id, "corection": "typo", "rating": 1},
        {"trace_id": trace_id, "rating": 1, "source": ""},
        {"trace_id": trace_id, "rating": 1, "source": "s", "source_type": "robot"},
        {"trace_id": trace_id, "rating": 1, "id": "x" * 200},
        {"trace_id": 5, "rating": 1},
        {"trace_id": "x\x00", "rating": 1},
        [],
    ]:
        response = served.http.post("/v1/feedback", json=body)
        assert response.status_code == 400, (body, response.text)
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    for number in (b"NaN", b"Infinity", b"1e999"):
        raw = b'{"trace_id": "%s", "rating": %s}' % (trace_id.encode(), number)
        assert served.http.post("/v1/feedback", content=raw, headers={"content-type": "application/json"}).is_error
    assert served.store.count(Feedback) == served.store.count(Source) == 0
