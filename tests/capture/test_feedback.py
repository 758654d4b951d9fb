from __future__ import annotations

import threading
from typing import Any

import pytest

from sharpen.capture.feedback import Conflict, record_feedback
from sharpen.capture.traces import record_trace
from sharpen.errors import NotFound, Refused
from sharpen.models.engine import Generation
from sharpen.records import Feedback, Message, Source
from sharpen.store import Store


def exchange(store: Store) -> str:
    said = (Message(role="user", content="hello"),)
    return record_trace(store, messages=said, generation=Generation("hi", 1, 1, "stop"), version_id="ver_0").id


def test_feedback_is_written_with_its_source(any_store: Store) -> None:
    trace_id = exchange(any_store)
    given = record_feedback(
        any_store, trace_id=trace_id, rating=-1, correction="good day", source="ann", source_type="human"
    )
    assert any_store.find(Feedback, subjects=[trace_id]) == [given]
    assert any_store.get(Source, str(given.source_id)).name == "ann"


def test_the_same_key_with_the_same_content_is_one_feedback(any_store: Store) -> None:
    said: dict[str, Any] = {"trace_id": exchange(any_store), "correction": "x", "source": "ann", "key": "k1"}
    assert record_feedback(any_store, **said).id == record_feedback(any_store, **said).id
    assert any_store.count(Feedback) == any_store.count(Source) == 1


@pytest.mark.parametrize(
    "change", [{"rating": 0.5}, {"correction": "y"}, {"correction": None}, {"comment": "z"}, {"source": "bob"}]
)
def test_the_same_key_with_other_content_is_a_conflict(any_store: Store, change: dict[str, Any]) -> None:
    said: dict[str, Any] = {"trace_id": exchange(any_store), "rating": 1.0, "correction": "x", "key": "k1"}
    first = record_feedback(any_store, **said)
    with pytest.raises(Conflict):
        record_feedback(any_store, **(said | change))
    assert any_store.find(Feedback) == [first]


def test_without_a_key_each_call_is_a_feedback_of_its_own(sqlite_store: Store) -> None:
    trace_id = exchange(sqlite_store)
    assert record_feedback(sqlite_store, trace_id=trace_id, rating=1) != record_feedback(
        sqlite_store, trace_id=trace_id, rating=1
    )


def test_of_two_writers_with_one_key_one_wins_and_one_is_told(any_store: Store) -> None:
    trace_id = exchange(any_store)
    start, outcomes = threading.Barrier(6), []

    def write(number: int) -> None:
        start.wait(10)
        try:
            outcomes.append(record_feedback(any_store, trace_id=trace_id, correction=f"c{number}", key="k").correction)
        except Conflict:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    winners = [outcome for outcome in outcomes if outcome is not None]
    assert len(outcomes) == 6
    assert [feedback.correction for feedback in any_store.find(Feedback)] == winners


def test_one_name_is_one_source_and_keeps_its_type(sqlite_store: Store) -> None:
    trace_id = exchange(sqlite_store)
    first = record_feedback(sqlite_store, trace_id=trace_id, rating=1, source="checker", source_type="program")
    again = record_feedback(sqlite_store, trace_id=trace_id, rating=0, source="checker")
    assert first.source_id == again.source_id
    with pytest.raises(Conflict, match="known as a program"):
        record_feedback(sqlite_store, trace_id=trace_id, rating=1, source="checker", source_type="human")
    assert [(source.name, source.type) for source in sqlite_store.find(Source)] == [("checker", "program")]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"rating": 1.01},
        {"rating": float("nan")},
        {"rating": float("-inf")},
        {"correction": "  "},
        {"comment": ""},
        {"correction": "half a pair: \ud800"},
        {"comment": "nul \x00"},
        {"rating": 1, "source": ""},
        {"rating": 1, "source": "x" * 129},
        {"rating": 1, "source": "line\nbreak"},
        {"rating": 1, "key": "\x00"},
    ],
)
def test_nonsense_is_refused_and_nothing_is_written(sqlite_store: Store, said: dict[str, Any]) -> None:
    trace_id = exchange(sqlite_store)
    with pytest.raises(Refused):
        record_feedback(sqlite_store, trace_id=trace_id, **said)
    assert sqlite_store.count(Feedback) == sqlite_store.count(Source) == 0


def test_feedback_on_an_unknown_exchange_says_what_to_name(sqlite_store: Store) -> None:
    with pytest.raises(NotFound, match="trc_none"):
        record_feedback(sqlite_store, trace_id="trc_none", rating=1, source="ann")
    assert sqlite_store.count(Source) == 0


def test_feedback_that_was_erased_can_be_sent_again_without_coming_back(sqlite_store: Store) -> None:
    said: dict[str, Any] = {"trace_id": exchange(sqlite_store), "correction": "private", "key": "k"}
    given = record_feedback(sqlite_store, **said)
    sqlite_store.erase(given.id)
    assert record_feedback(sqlite_store, **said).id == given.id
    assert sqlite_store.get(Feedback, given.id).correction is None


def test_a_comparison_names_another_answer_to_the_same_prompt(any_store: Store) -> None:
    better, worse = exchange(any_store), exchange(any_store)
    given = record_feedback(any_store, trace_id=better, better_than=worse)
    assert any_store.get(Feedback, given.id).better_than == worse
    with pytest.raises(NotFound, match="no exchange 'trc_nowhere'"):
        record_feedback(any_store, trace_id=better, better_than="trc_nowhere")
    other = (Message(role="user", content="bye"),)
    elsewhere = record_trace(any_store, messages=other, generation=Generation("hi", 1, 1, "stop"), version_id="ver_0")
    for wrong in (better, elsewhere.id):
        with pytest.raises(Refused, match="not two answers to one prompt"):
            record_feedback(any_store, trace_id=better, better_than=wrong)
