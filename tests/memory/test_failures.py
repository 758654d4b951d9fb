"""Past failures fall into named patterns, always the same ones."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sharpen.memory.failures import Pattern, failure_weights, failures, grouped, named, patterns
from sharpen.records import Memory, Message
from tests.memory.embedders import WordEmbedder

PARCELS = ["parcel lost", "late parcel", "parcel broken", "where parcel"]
PASSWORDS = ["password wrong", "password expired", "reset password"]


def bad(question: str, number: int, **changes: object) -> Memory:
    fields = {
        "id": f"mem_{number}",
        "type": "score",
        "messages": (Message(role="user", content=question),),
        "reply": "a wrong answer",
        "evidence": (f"trc_{number}",),
        "score": 0.0,
    }
    return Memory.model_validate(fields | changes)


def test_a_failure_is_a_bad_score_or_an_answer_that_was_corrected() -> None:
    memories = [
        bad("one", 1),
        bad("two", 2, score=0.9),
        bad("three", 3, type="contrast", rejected="billing", score=1.0),
        bad("one", 4, evidence=("trc_1",), type="critique"),
        bad("five", 5, score=None),
        bad("six", 6, type="example", score=None),
    ]
    assert [memory.id for memory in failures(memories)] == ["mem_1", "mem_3"]


def test_alike_failures_are_one_pattern_named_by_its_words() -> None:
    failed = [bad(text, place) for place, text in enumerate([*PARCELS, *PASSWORDS])]
    found = patterns(failed, WordEmbedder())
    assert [(pattern.name.split()[0], pattern.count) for pattern in found] == [("parcel", 4), ("password", 3)]
    assert found[0].about == ("trc_0", "trc_1", "trc_2", "trc_3")
    assert found[0].example in PARCELS


def test_patterns_do_not_depend_on_chance_or_order() -> None:
    failed = [bad(text, place) for place, text in enumerate([*PARCELS, *PASSWORDS])]
    shuffled = random.Random(4).sample(failed, len(failed))
    first, again = patterns(failed, WordEmbedder()), patterns(shuffled, WordEmbedder())
    assert [(one.name, one.count, set(one.about)) for one in first] == [
        (one.name, one.count, set(one.about)) for one in again
    ]
    assert patterns(failed, WordEmbedder()) == first


def test_one_failure_is_a_pattern_and_none_is_none() -> None:
    assert [pattern.count for pattern in patterns([bad("my parcel", 1)], WordEmbedder())] == [1]
    assert patterns([], WordEmbedder()) == []


def test_groups_are_those_that_lie_together() -> None:
    vectors = np.array([[1, 0.1], [0.1, 1], [1, 0], [0, 1], [1, 0.05]])
    assert grouped(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) == [[0, 2, 4], [1, 3]]


def test_a_name_is_what_sets_a_group_apart() -> None:
    assert named([["refund lamp lamp", "refund lamp"], ["refund chair", "refund chair chair"]]) == [
        "lamp refund", "chair refund",
    ]  # fmt: skip
    assert named([["the of"], ["!"], ["the"]]) == ["(no words)", "(no words) (2)", "(no words) (3)"]


def test_common_failures_count_more_and_single_ones_as_they_are() -> None:
    found = [
        Pattern("parcel", 9, tuple(f"trc_{i}" for i in range(9)), "x"),
        Pattern("password", 3, ("trc_a", "trc_b", "trc_c"), "y"),
        Pattern("lamp", 1, ("trc_z",), "z"),
    ]
    weights = failure_weights(found, strongest=3.0)
    assert weights["trc_0"] == pytest.approx(3.0)
    assert weights["trc_a"] == pytest.approx(2.0)  # log 3 is half of log 9
    assert weights["trc_z"] == 1.0
    assert failure_weights([Pattern("lamp", 1, ("trc_z",), "z")]) == {"trc_z": 1.0}
    assert failure_weights([]) == {}
