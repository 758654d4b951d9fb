"""Each kind of evidence gives what it is worth, and no more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import evidence, messages_of
from sharpen.curation.mining.find import Find
from sharpen.curation.mining.mine import mine
from sharpen.store import Store

QUESTION = "Where is my parcel?"
DEFAULT = CurationSection()


def mined(store: Store, settings: CurationSection = DEFAULT) -> tuple[list[Find], dict[str, int]]:
    found, dropped = mine(evidence(store), settings)
    return [one.find for one in found], dict(Counter(one.reason for one in dropped))


def only(store: Store, settings: CurationSection = DEFAULT) -> Find:
    finds, dropped = mined(store, settings)
    assert len(finds) == 1, dropped
    return finds[0]


def reason(store: Store, settings: CurationSection = DEFAULT) -> dict[str, int]:
    finds, dropped = mined(store, settings)
    assert finds == []
    return dropped


def test_a_correction_is_learned_and_the_reply_unlearned(talk: Any) -> None:
    trace = talk.trace(QUESTION, "sales")
    feedback = talk.correct(trace, " shipping\n")
    example = only(talk.store)
    assert (example.chosen, example.rejected, example.origin) == ("shipping", "sales", "correction")
    assert example.evidence == (trace, feedback)
    assert (example.margin, example.reference) == (1.0, "shipping")
    [prompt] = [one.prompt for one in mine(evidence(talk.store), DEFAULT)[0]]
    assert [turn["role"] for turn in messages_of(prompt)] == ["system", "user"]


def test_a_correction_that_says_what_the_reply_said_unlearns_nothing(talk: Any) -> None:
    talk.correct(talk.trace(QUESTION, "shipping "), "shipping")
    assert only(talk.store).rejected is None


def test_a_correction_beats_a_rating_and_a_critique(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    talk.correct(trace, "shipping")
    talk.rate(trace, 1.0)
    talk.critique(trace, draft_score=1.0)
    assert only(talk.store).chosen == "shipping"


def test_the_newest_correction_of_one_source_wins(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    talk.correct(trace, "returns", "ann")
    newest = talk.correct(trace, "shipping", "ann")
    example = only(talk.store)
    assert example.chosen == "shipping"
    assert example.evidence == (trace, newest)


def test_the_newest_anonymous_correction_wins(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    talk.correct(trace, "returns")
    talk.correct(trace, "shipping")
    assert only(talk.store).chosen == "shipping"


def test_the_majority_of_sources_wins_and_its_feedback_is_the_evidence(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    ann, ben = talk.correct(trace, "shipping", "ann"), talk.correct(trace, "shipping", "ben")
    talk.correct(trace, "returns", "cem")
    example = only(talk.store)
    assert example.chosen == "shipping"
    assert example.evidence == (trace, ann, ben)


def test_a_tie_between_sources_is_dropped_and_counted(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    talk.correct(trace, "shipping", "ann")
    talk.correct(trace, "returns", "ben")
    assert reason(talk.store) == {"contradicting": 1}


def test_an_empty_correction_is_dropped_and_counted(talk: Any) -> None:
    talk.correct(talk.trace(QUESTION), "  \n")
    assert reason(talk.store) == {"empty": 1}


def test_a_draft_that_the_verifier_accepted_is_learned(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    critique = talk.critique(trace, draft_score=1.0)
    example = only(talk.store)
    assert (example.chosen, example.rejected, example.origin) == ("sales", None, "verified")
    assert example.evidence == (trace, critique)


def test_a_liked_reply_is_learned(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    feedback = talk.rate(trace, 0.5)
    example = only(talk.store)
    assert (example.chosen, example.origin, example.evidence) == ("sales", "verified", (trace, feedback))


@pytest.mark.parametrize("ratings", [[-1.0], [0.4], [1.0, -1.0]])
def test_a_reply_that_someone_disliked_or_nobody_liked_teaches_nothing(talk: Any, ratings: list[float]) -> None:
    trace = talk.trace(QUESTION)
    for rating in ratings:
        talk.rate(trace, rating)
    assert reason(talk.store) == {"no_answer": 1}


def test_a_verified_revision_is_learned_and_the_draft_unlearned(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    critique = talk.critique(trace, draft_score=0.0, revision="shipping", revision_score=1.0)
    example = only(talk.store)
    assert (example.chosen, example.rejected, example.origin) == ("shipping", "sales", "revision")
    assert example.evidence == (trace, critique)


def test_a_revision_that_was_not_verified_teaches_nothing(talk: Any) -> None:
    talk.critique(talk.trace(QUESTION), draft_score=0.0, revision="shipping", revision_score=0.9)
    talk.critique(talk.trace("Who are you?"), revision="shipping")
    assert reason(talk.store) == {"no_answer": 2}


def test_the_verifier_wins_over_a_rating(talk: Any) -> None:
    refused, revised, accepted = talk.trace("a"), talk.trace("b"), talk.trace("c")
    talk.rate(refused, 1.0)
    talk.critique(refused, draft_score=0.0)
    talk.rate(revised, 1.0)
    talk.critique(revised, draft_score=0.0, revision="shipping", revision_score=1.0)
    talk.rate(accepted, -1.0)
    talk.critique(accepted, draft_score=1.0)
    examples, dropped = mined(talk.store)
    assert [(example.chosen, example.origin) for example in examples] == [
        ("shipping", "revision"),
        ("sales", "verified"),
    ]
    assert dropped == {"contradicting": 1}


def test_the_newest_critique_that_did_not_fail_counts(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    talk.critique(trace, cycle_id="c1", draft_score=0.0, revision="returns", revision_score=1.0)
    newest = talk.critique(trace, cycle_id="c2", draft_score=0.0, revision="shipping", revision_score=1.0)
    talk.critique(trace, cycle_id="c3", error="the engine was away", stop_reason="error")
    example = only(talk.store)
    assert example.chosen == "shipping"
    assert example.evidence == (trace, newest)


def test_failed_and_erased_traces_teach_nothing(talk: Any) -> None:
    talk.correct(talk.trace(QUESTION, None, error="too long", finish_reason="error"), "shipping")
    erased = talk.trace("My name is Ann. Where is my parcel?")
    talk.correct(erased, "shipping")
    talk.store.erase(erased)
    talk.trace("nobody spoke of this one")
    assert reason(talk.store) == {"failed": 1, "erased": 1}


def test_an_erased_critique_or_correction_teaches_nothing(talk: Any) -> None:
    one, two = talk.trace("a"), talk.trace("b")
    talk.store.erase(talk.critique(one, draft_score=1.0))
    talk.store.erase(talk.correct(two, "shipping"))
    assert reason(talk.store) == {"empty": 1, "no_answer": 1}


def test_each_source_of_answers_can_be_switched_off(talk: Any) -> None:
    corrected, both, liked = talk.trace("a"), talk.trace("b"), talk.trace("c")
    talk.correct(corrected, "shipping")
    talk.correct(both, "shipping")
    talk.critique(both, draft_score=0.0, revision="returns", revision_score=1.0)
    talk.rate(liked, 1.0)
    own, _ = mined(talk.store, CurationSection(corrections=False))
    people, _ = mined(talk.store, CurationSection(own_answers=False))
    assert [example.origin for example in own] == ["revision", "verified"]
    assert [example.origin for example in people] == ["correction", "correction"]
    assert mined(talk.store, CurationSection(corrections=False, own_answers=False)) == ([], {"no_answer": 3})


def test_the_same_answer_to_the_same_prompt_is_one_example_on_all_the_evidence(talk: Any) -> None:
    one, two = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    first, second = talk.correct(one, "shipping"), talk.correct(two, "shipping")
    examples, dropped = mined(talk.store)
    assert [example.evidence for example in examples] == [(one, first, two, second)]
    assert examples[0].rejected == "sales"
    assert dropped == {"merged": 1}


def test_a_reply_that_only_was_compared_with_is_no_drop(talk: Any) -> None:
    better, worse = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    said = talk.prefer(better, worse)
    finds, dropped = mined(talk.store)
    assert [(one.chosen, one.rejected, one.origin, one.evidence, one.margin) for one in finds] == [
        ("shipping", "sales", "comparison", (better, worse, said), 1.0)
    ]
    assert dropped == {}
