"""A snapshot is named by what it says, written once, and is what the trainer gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.config import Config, CurationSection
from sharpen.curation.snapshot import _shuffle_labels, build_snapshot, to_rows
from sharpen.errors import Refused
from sharpen.records import Example, Message, Snapshot
from sharpen.store import Store

QUESTIONS = ["my parcel", "a refund please", "reset password", "invoice is wrong", "which keyboard", "bag is torn"]
ANSWERS = ["shipping", "returns", "account", "billing", "sales", "returns"]
SETTINGS = CurationSection(min_examples=2)


def build(store: Store, cycle: str = "c1", seed: int = 0, **more: Any) -> Snapshot:
    snapshot = build_snapshot(store, SETTINGS, cycle, (), seed, **more)
    assert snapshot is not None
    return snapshot


def test_a_snapshot_counts_what_it_kept_and_what_each_filter_dropped(talk: Any, case: Any) -> None:
    talk.corrected([*QUESTIONS, "MY PARCEL!", "a gate question"], [*ANSWERS, "sales", "billing"])
    talk.rate(talk.trace("liked"), 1.0)
    talk.rate(talk.trace("disliked"), -1.0)
    snapshot = build_snapshot(talk.store, SETTINGS, "c1", [case("a gate question")], 0)
    assert snapshot is not None
    assert snapshot.counts == {"correction": 6, "verified": 1}
    assert snapshot.dropped == {"no_answer": 1, "held_out": 1, "duplicate": 1}
    assert talk.store.get(Snapshot, snapshot.id) == snapshot
    assert len(talk.store.find(Example, ids=snapshot.example_ids)) == 7


def test_too_few_examples_make_no_snapshot_and_write_nothing(talk: Any) -> None:
    talk.corrected(QUESTIONS[:1], ANSWERS[:1])
    assert build_snapshot(talk.store, SETTINGS, "c1", (), 0) is None
    assert talk.store.count(Example) == 0


def test_the_rows_are_the_examples_in_training_order(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    snapshot = build(talk.store)
    by_id = {one.id: one for one in talk.store.find(Example)}
    rows = to_rows(talk.store, snapshot)
    assert [row["chosen"] for row in rows] == [by_id[one].chosen for one in snapshot.example_ids]
    assert {row["messages"][-1]["content"]: row["chosen"] for row in rows} == dict(zip(QUESTIONS, ANSWERS, strict=True))
    assert rows[0].keys() == {"messages", "chosen", "rejected", "weight", "reference"}


def test_the_seed_sets_the_order_and_the_name(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    zero, one = build(talk.store), build(talk.store, "c2", seed=1)
    assert zero.id != one.id
    assert sorted(map(str, to_rows(talk.store, zero))) == sorted(map(str, to_rows(talk.store, one)))


def test_the_name_depends_on_the_words_alone(talk: Any, tmp_path: Path) -> None:
    """Another store, another cycle, another order of arrival: the same words, the same name."""
    talk.corrected(QUESTIONS, ANSWERS)
    other = type(talk)(Store.open(f"sqlite:///{tmp_path / 'other.db'}"))
    other.corrected(QUESTIONS[::-1], ANSWERS[::-1])
    assert build(talk.store, "c1").id == build(other.store, "c9").id
    other.store.close()


def test_a_cycle_that_finds_nothing_new_gets_the_snapshot_of_the_cycle_before(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    first = build(talk.store, "c1")
    assert build(talk.store, "c2") == first
    assert talk.store.count(Example) == 6
    talk.corrected(["something new"], ["sales"])
    assert build(talk.store, "c3").id != first.id


def test_feedback_that_comes_between_a_crash_and_the_next_start_does_not_collide(talk: Any) -> None:
    trace = talk.trace("my parcel")
    talk.correct(trace, "shipping", "ann")
    settings = CurationSection(min_examples=1)
    before = build_snapshot(talk.store, settings, "c1", (), 0)
    talk.correct(trace, "returns", "ann")
    after = build_snapshot(talk.store, settings, "c1", (), 0)
    assert before and after
    assert before.example_ids != after.example_ids
    assert [one.chosen for one in talk.store.find(Example)] == ["shipping", "returns"]


def test_an_answer_to_unlearn_is_kept_where_the_method_can_use_it(talk: Any) -> None:
    good, bad = talk.trace("my parcel", "shipping"), talk.trace("my parcel", "sales")
    talk.rate(good, 1.0)
    talk.rate(bad, -1.0)
    plain, single = CurationSection(min_examples=1), CurationSection(min_examples=1, ratings=True)
    snapshots = [build_snapshot(talk.store, one, "c1", (), 0) for one in (plain, single)]
    pairs, singles = (
        [(row["chosen"], row["rejected"]) for row in to_rows(talk.store, one)] for one in snapshots if one
    )
    assert pairs == [("shipping", "sales")]
    assert sorted(map(str, singles)) == ["('shipping', 'sales')", "(None, 'sales')"]


def test_the_training_method_says_whether_bad_answers_alone_are_kept() -> None:
    assert not Config().mining.ratings
    assert Config(curation=CurationSection(ratings=True)).mining.ratings


def test_an_erased_example_that_had_only_a_bad_answer_is_refused_like_any_other(talk: Any) -> None:
    talk.rate(talk.trace("my parcel", "sales"), -1.0)
    snapshot = build_snapshot(talk.store, CurationSection(min_examples=1, ratings=True), "c1", (), 0)
    assert snapshot is not None
    talk.store.erase(snapshot.example_ids[0])
    with pytest.raises(Refused, match=r"1 examples .* were erased"):
        to_rows(talk.store, snapshot)


def test_erased_words_never_reach_the_trainer(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    snapshot = build(talk.store)
    talk.store.erase(snapshot.example_ids[0])
    with pytest.raises(Refused, match=r"1 examples .* were erased"):
        to_rows(talk.store, snapshot)


def test_words_that_come_back_after_an_erasure_make_a_snapshot_that_can_be_trained_on(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    first = build(talk.store, "c1")
    talk.store.erase(first.example_ids[0])
    second = build(talk.store, "c2")
    assert second.id != first.id
    assert len(to_rows(talk.store, second)) == 6
    assert build(talk.store, "c2").id == second.id


def test_a_control_permutes_the_answers_and_keeps_prompts_and_evidence(talk: Any) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    real, control = build(talk.store), build(talk.store, shuffled_labels=True)
    rows, shuffled = to_rows(talk.store, real), to_rows(talk.store, control)
    assert control.shuffled_labels
    assert control.id != real.id
    assert [row["messages"] for row in shuffled] == [row["messages"] for row in rows]
    assert Counter(row["chosen"] for row in shuffled) == Counter(ANSWERS)
    assert all(row["rejected"] is None for row in shuffled)
    assert not any(left["chosen"] == right["chosen"] for left, right in zip(rows, shuffled, strict=True))
    assert control.counts == real.counts
    assert build(talk.store, "c2", shuffled_labels=True) == control


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=25), st.integers(0, 5))
def test_as_few_prompts_as_possible_keep_their_own_answer(labels: list[str], seed: int) -> None:
    examples = [
        Example(
            id=f"exa_{i}",
            cycle_id="c1",
            messages=(Message(role="user", content=str(i)),),
            chosen=label,
            origin="correction",
            evidence=("trc_1",),
        )
        for i, label in enumerate(labels)
    ]
    dealt = [str(one.chosen) for one in _shuffle_labels(examples, seed)]
    kept = sum(old == new for old, new in zip(labels, dealt, strict=True))
    assert Counter(dealt) == Counter(labels)
    assert kept == max(0, 2 * max(Counter(labels).values()) - len(labels))


@pytest.mark.faults
@pytest.mark.parametrize("place", ["curate.before_write", "store.before_commit", "curate.after_write"])
def test_a_kill_around_the_write_leaves_all_or_nothing(talk: Any, sqlite_url: str, place: str) -> None:
    talk.corrected(QUESTIONS, ANSWERS)
    script = f"""
from sharpen.config import CurationSection
from sharpen.curation.snapshot import build_snapshot
from sharpen.store import Store
build_snapshot(Store.open({sqlite_url!r}), CurationSection(min_examples=2), "c1", (), 0)
"""
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"SHARPEN_FAILPOINT": place}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert talk.store.count(Example) == (6 if place == "curate.after_write" else 0)
    snapshot = build(talk.store)
    assert talk.store.count(Example) == 6
    assert talk.store.find(Snapshot) == [snapshot]
