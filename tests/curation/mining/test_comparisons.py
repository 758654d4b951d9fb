"""A comparison says which of two answers to one prompt is better, and nothing more."""

from __future__ import annotations

from typing import Any

from sharpen.config import CurationSection
from sharpen.curation.mining.comparisons import comparisons
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.mining.find import Drop, Find

QUESTION = "Where is my parcel?"


def found(talk: Any, **settings: Any) -> list[Find | Drop]:
    return [one for group in evidence(talk.store) for one in comparisons(group, CurationSection(**settings))]


def test_the_margin_is_the_winner_s_lead(talk: Any) -> None:
    one, two = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    said = [talk.prefer(one, two, "ann"), talk.prefer(one, two, "ben"), talk.prefer(one, two, "cem")]
    talk.prefer(two, one, "dee")
    assert found(talk) == [Find("shipping", "sales", "comparison", (one, two, *said), 0.5)]


def test_the_newest_word_of_one_source_counts(talk: Any) -> None:
    one, two = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    talk.prefer(two, one, "ann")
    said = talk.prefer(one, two, "ann")
    assert found(talk) == [Find("shipping", "sales", "comparison", (one, two, said), 1.0)]


def test_as_many_for_as_against_is_contradicting(talk: Any) -> None:
    one, two = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    talk.prefer(one, two, "ann")
    talk.prefer(two, one, "ben")
    assert [drop.reason for drop in found(talk)] == ["contradicting"]


def test_answers_to_other_prompts_and_equal_answers_are_not_compared(talk: Any) -> None:
    one, other, same = talk.trace(QUESTION, "shipping"), talk.trace("Who?", "sales"), talk.trace(QUESTION, "shipping ")
    talk.prefer(one, other)
    talk.prefer(one, same)
    assert sorted(drop.reason for drop in found(talk)) == ["empty", "other_prompt"]


def test_comparisons_can_be_switched_off(talk: Any) -> None:
    talk.prefer(talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales"))
    assert found(talk, comparisons=False) == []
