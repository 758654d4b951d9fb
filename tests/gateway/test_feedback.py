from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        {"trace_id": trace_id, "rating": 1, "thumb": "up"},
        {"trace_id": trace_id, "thumb": "sideways"},
        {"trace_id": trace_id, "verified": 1},
        {"trace_id": trace_id, "signal": "slept"},
        {"trace_id": trace_id, "rating": 1, "groups": ["age=18-25"]},
        {"ranking": [trace_id]},
        {"ranking": [trace_id, 5]},
        [],
    ]:
        response = served.http.post("/v1/feedback", json=body)
        assert response.status_code == 400, (body, response.text)
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    for number in (b"NaN", b"Infinity", b"1e999"):
        raw = b'{"trace_id": "%s", "rating": %s}' % (trace_id.encode(), number)
        assert served.http.post("/v1/feedback", content=raw, headers={"content-type": "application/json"}).is_error
    assert served.store.count(Feedback) == served.store.count(Source) == 0


def test_every_way_to_say_it_is_kept(served: Any) -> None:
    first, second = (served.chat(model="sharpen").json()["id"] for _ in range(2))

    def kept(**said: Any) -> Feedback:
        response = served.http.post("/v1/feedback", json=said)
        assert response.status_code == 200, response.text
        return served.store.get(Feedback, response.json()["id"])  # type: ignore[no-any-return]

    assert kept(trace_id=first, thumb="up").rating == 1
    assert kept(trace_id=first, thumb="down").rating == -1
    by_program = kept(trace_id=first, verified=False)
    assert by_program.rating == -1
    assert served.store.get(Source, by_program.source_id).type == "program"
    assert kept(ranking=[first, second]).better_than == second
    assert kept(trace_id=first, signal="copied").signal == "copied"
    assert kept(trace_id=first, signal="sent", sent="something else").sent == "something else"
    assert kept(trace_id=first, rating=1, groups=["age=18-25"], consent=True).groups == ("age=18-25",)


def test_feedback_may_come_before_the_exchange_that_its_client_named(served: Any) -> None:
    said = {"exchange": "order-7", "rating": -1, "correction": "hello", "id": "k"}
    early = served.http.post("/v1/feedback", json=said)
    assert early.status_code == 200 and early.json()["waits_for_exchange"] is True
    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = served.http.post("/v1/chat/completions", json=body, headers={"x-sharpen-exchange": "order-7"})
    assert answer.json()["id"] == early.json()["trace_id"]
    late = served.http.post("/v1/feedback", json=said)
    assert late.status_code == 200 and "waits_for_exchange" not in late.json()
    again = served.http.post("/v1/chat/completions", json=body, headers={"x-sharpen-exchange": "order-7"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    wrong = served.http.post("/v1/chat/completions", json=body, headers={"x-sharpen-exchange": "x" * 129})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_exchange")


def test_many_at_once_are_all_kept(served: Any) -> None:
    trace_id = served.chat().json()["id"]

    def give(number: int) -> int:
        body = {"trace_id": trace_id, "rating": 1, "id": f"k{number}"}
        return int(served.http.post("/v1/feedback", json=body).status_code)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(give, range(200))) == {200}
    assert served.store.count(Feedback) == 200
