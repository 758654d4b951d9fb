"""Every way to say something, many at a time, each with an outcome of its own."""

from __future__ import annotations

from typing import Any

import pytest

from sharpen.capture.feedback import Conflict, Recorded, record_feedback, record_sayings
from sharpen.capture.saying import Saying, trace_id_of
from sharpen.capture.traces import record_trace
from sharpen.config import CurationSection
from sharpen.curation.mining.comparisons import comparisons
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.mining.mine import mine
from sharpen.errors import NotFound, Refused
from sharpen.models.engine import Generation
from sharpen.records import Feedback, Message, Source
from sharpen.store import Store


def exchange(store: Store, reply: str = "it ships today I think", name: str | None = None) -> str:
    said = (Message(role="user", content="when does it ship?"),)
    return record_trace(
        store,
        messages=said,
        generation=Generation(reply, 1, 1, "stop"),
        version_id="ver_0",
        trace_id=None if name is None else trace_id_of(name),
    ).id


def test_each_saying_of_a_portion_has_an_outcome_of_its_own(any_store: Store) -> None:
    trace_id = exchange(any_store)
    record_feedback(any_store, trace_id=trace_id, rating=1, key="taken")
    outcomes = record_sayings(
        any_store,
        [
            Saying(trace_id=trace_id, rating=1, source="ann"),
            Saying(trace_id="trc_none", rating=1, source="ann"),
            Saying(trace_id=trace_id, rating=9),
            Saying(trace_id=trace_id, rating=-1, key="taken"),
            Saying(trace_id=trace_id, rating=1, key="taken"),
            Saying(trace_id=trace_id, correction="tomorrow", key="new", source="ann"),
            Saying(trace_id=trace_id, correction="today", key="new", source="ann"),
            Saying(trace_id=trace_id, correction="tomorrow", key="new", source="ann"),
        ],
    )
    assert [type(one).__name__ for one in outcomes] == [
        "Recorded", "NotFound", "Refused", "Conflict", "Recorded", "Recorded", "Conflict", "Recorded",
    ]  # fmt: skip
    assert len(any_store.find(Feedback)) == 3 and any_store.count(Source) == 1


def test_a_source_whose_first_saying_is_refused_is_there_for_the_second(sqlite_store: Store) -> None:
    trace_id = exchange(sqlite_store)
    record_feedback(sqlite_store, trace_id=trace_id, rating=1, key="taken")
    first, second = record_sayings(
        sqlite_store,
        [
            Saying(trace_id=trace_id, rating=-1, key="taken", source="new"),
            Saying(trace_id=trace_id, rating=-1, source="new"),
        ],
    )
    assert isinstance(first, Conflict) and isinstance(second, Recorded)
    assert sqlite_store.get(Source, str(second.feedback[0].source_id)).name == "new"


def test_a_ranking_is_every_pair_of_it_and_curation_reads_them(sqlite_store: Store) -> None:
    ids = [exchange(sqlite_store, text) for text in ("today", "tomorrow", "never")]
    [outcome] = record_sayings(sqlite_store, [Saying(ranking=tuple(ids), source="ann", key="r")])
    assert isinstance(outcome, Recorded)
    assert {(one.trace_id, one.better_than) for one in outcome.feedback} == {
        (ids[0], ids[1]), (ids[0], ids[2]), (ids[1], ids[2]),
    }  # fmt: skip
    record_sayings(sqlite_store, [Saying(ranking=tuple(ids), source="ann", key="r")])
    assert sqlite_store.count(Feedback) == 3
    [group] = evidence(sqlite_store)
    found = comparisons(group, CurationSection())
    assert {(one.chosen, one.rejected) for one in found} == {  # type: ignore[union-attr]
        ("today", "tomorrow"), ("today", "never"), ("tomorrow", "never"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("done", "origin", "chosen", "rejected"),
    [
        ({"signal": "regenerated"}, "rating", None, "it ships today I think"),
        ({"signal": "sent", "sent": "it ships tomorrow I think"}, "correction", "it ships tomorrow I think", None),
        ({"signal": "sent", "sent": "it ships today I think"}, "verified", "it ships today I think", None),
        ({"signal": "sent", "sent": "please call us"}, "rating", None, "it ships today I think"),
    ],
)
def test_what_a_user_did_teaches_what_it_amounts_to(
    sqlite_store: Store, done: dict[str, Any], origin: str, chosen: str | None, rejected: str | None
) -> None:
    record_feedback(sqlite_store, trace_id=exchange(sqlite_store), **done)
    [one], _ = mine(evidence(sqlite_store), CurationSection(ratings=True))
    assert (one.find.origin, one.find.chosen) == (origin, chosen)
    assert rejected is None or one.find.rejected == rejected


def test_a_copied_answer_alone_teaches_nothing_yet(sqlite_store: Store) -> None:
    record_feedback(sqlite_store, trace_id=exchange(sqlite_store), signal="copied")
    found, [lost] = mine(evidence(sqlite_store), CurationSection())
    assert found == [] and lost.reason == "no_answer"


def test_feedback_by_the_client_s_own_name_may_come_before_the_exchange(any_store: Store) -> None:
    [early] = record_sayings(any_store, [Saying(exchange="order-7", rating=-1, correction="tomorrow", key="k")])
    assert isinstance(early, Recorded) and early.waits
    assert evidence(any_store) == []
    trace_id = exchange(any_store, name="order-7")
    [late] = record_sayings(any_store, [Saying(exchange="order-7", rating=-1, correction="tomorrow", key="k")])
    assert isinstance(late, Recorded) and not late.waits and late.feedback[0].id == early.feedback[0].id
    [[one]] = evidence(any_store)
    assert (one.id, [said.correction for said in one.said]) == (trace_id, ["tomorrow"])


def test_groups_are_kept_with_the_words_and_erased_with_them(sqlite_store: Store) -> None:
    given = record_feedback(sqlite_store, trace_id=exchange(sqlite_store), rating=1, groups=("age=18-25",))
    assert sqlite_store.get(Feedback, given.id).groups == ("age=18-25",)
    sqlite_store.erase(given.id)
    assert sqlite_store.get(Feedback, given.id).groups == ()


@pytest.mark.parametrize(
    "said",
    [
        {"rating": 1},
        {"trace_id": "trc_1", "exchange": "mine", "rating": 1},
        {"ranking": ("trc_1",)},
        {"ranking": ("trc_1", "trc_1")},
        {"ranking": tuple(f"trc_{number}" for number in range(9))},
        {"ranking": ("trc_1", "trc_2"), "trace_id": "trc_3"},
        {"ranking": ("trc_1", "trc_2"), "better_than": "trc_3"},
        {"trace_id": "trc_1", "signal": "sent"},
        {"trace_id": "trc_1", "sent": "text"},
        {"trace_id": "trc_1", "signal": "copied", "sent": "text"},
        {"trace_id": "trc_1", "signal": "copied", "rating": 1},
        {"trace_id": "trc_1", "signal": "sent", "sent": "half \ud800"},
        {"trace_id": "trc_1", "rating": 1, "groups": ("age",)},
        {"trace_id": "trc_1", "rating": 1, "groups": ("age=", "=x")},
        {"trace_id": "trc_1", "rating": 1, "groups": ("age=1", "age=2")},
        {"exchange": "x" * 129, "rating": 1},
    ],
)
def test_what_contradicts_itself_is_refused(sqlite_store: Store, said: dict[str, Any]) -> None:
    [outcome] = record_sayings(sqlite_store, [Saying(**said)])
    assert isinstance(outcome, Refused) and not isinstance(outcome, NotFound)
    assert sqlite_store.count(Feedback) == 0
