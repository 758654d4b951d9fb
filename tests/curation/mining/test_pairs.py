"""Several answers to one prompt make pairs: by ratings, and by a verifier's scores."""

from __future__ import annotations

from typing import Any

import pytest

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.mining.find import Find
from sharpen.curation.mining.rated import disliked
from sharpen.curation.mining.samples import samples
from sharpen.curation.mining.siblings import siblings
from sharpen.records import Step

QUESTION = "Where is my parcel?"


def found(talk: Any, miner: Any, **settings: Any) -> list[Any]:
    return [one for group in evidence(talk.store) for one in miner(group, CurationSection(**settings))]


def test_the_best_rated_answer_is_paired_with_the_worst_rated(talk: Any) -> None:
    best, middle, worst = (talk.trace(QUESTION, reply) for reply in ("shipping", "post", "sales"))
    up, down = talk.rate(best, 1.0), talk.rate(worst, -0.5)
    talk.rate(middle, 0.6)
    assert found(talk, siblings) == [Find("shipping", "sales", "rating", (best, up, worst, down), 0.75)]
    assert found(talk, siblings, siblings=False) == []


def test_each_source_s_newest_rating_counts_once(talk: Any) -> None:
    good, bad = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    for rating in (-1.0, -1.0, 1.0):
        talk.rate(good, rating, "ann")
    talk.rate(bad, -1.0)
    [pair] = found(talk, siblings)
    assert pair.margin == 1.0


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_verifier_of_another_mind_makes_no_pair_of_ratings(talk: Any, score: float) -> None:
    good, bad = talk.trace(QUESTION, "shipping"), talk.trace(QUESTION, "sales")
    talk.rate(good, 1.0)
    talk.rate(bad, -1.0)
    talk.critique(good if score == 0.0 else bad, draft_score=score)
    assert found(talk, siblings) == []


def test_ratings_of_different_prompts_make_no_pair(talk: Any) -> None:
    talk.rate(talk.trace(QUESTION, "shipping"), 1.0)
    talk.rate(talk.trace("Who?", "sales"), -1.0)
    assert found(talk, siblings) == []


def test_the_best_attempt_is_paired_with_the_worst_of_three(talk: Any) -> None:
    trace = talk.trace(QUESTION)
    steps = [Step(name="recall", output="post", verified=0.4), Step(name="revise", output="shipping", verified=1.0)]
    steps.append(Step(name="judge", output="not an answer"))
    critique = talk.critique(trace, draft_score=0.1, revision="shipping", revision_score=1.0, steps=tuple(steps))
    assert found(talk, samples) == [Find("shipping", "sales", "samples", (trace, critique), 0.9)]
    assert found(talk, samples, samples=False) == []


def test_a_draft_and_its_revision_alone_are_left_to_the_revision(talk: Any) -> None:
    talk.critique(talk.trace(QUESTION), draft_score=0.0, revision="shipping", revision_score=1.0)
    assert found(talk, samples) == []


def test_what_the_model_accepted_itself_is_no_sample(talk: Any) -> None:
    steps = (Step(name="recall", output="post", verified=0.4),)
    talk.critique(
        talk.trace(QUESTION), draft_score=0.0, revision="shipping", revision_score=1.0, scored_by="self", steps=steps
    )
    assert found(talk, samples) == []


def test_a_disliked_answer_alone_is_found_only_when_asked_for(talk: Any) -> None:
    trace = talk.trace(QUESTION, "sales")
    said = talk.rate(trace, -0.5)
    assert found(talk, disliked) == []
    assert found(talk, disliked, ratings=True) == [Find(None, "sales", "rating", (trace, said), 0.5)]


def test_an_answer_that_was_corrected_or_verified_is_not_unlearned_alone(talk: Any) -> None:
    corrected, verified = talk.trace(QUESTION, "sales"), talk.trace("Who?", "sales")
    talk.correct(corrected, "shipping")
    for trace in (corrected, verified):
        talk.rate(trace, -1.0)
    talk.critique(verified, draft_score=1.0)
    assert found(talk, disliked, ratings=True) == []
