"""The fast filters do what comparing everything with everything would do."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.curation.candidates import candidate, near_duplicates

from sharpen.config import CurationSection
from sharpen.curation.candidate import Candidate
from sharpen.curation.filters.alike import flagged, repeats
from sharpen.curation.filters.duplicates import Keys
from sharpen.curation.filters.held_out import held_out as overlapping
from sharpen.curation.filters.wordsets import hashed
from sharpen.curation.mining.find import STRENGTH
from sharpen.curation.plan import Plan
from sharpen.memory.words import jaccard, words
from sharpen.records import Case, Message, Origin, content_hash

SYSTEM = Message(role="system", content="Answer in one word, and name the team.")

# Few words, so that texts overlap in every degree.
VOCABULARY = ["where", "is", "my", "new", "parcel", "and", "the", "old", "refund", "+", "-", "today", "?"]
texts = st.lists(st.sampled_from(VOCABULARY), max_size=9).map(" ".join)
thresholds = st.sampled_from([0.2, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.85, 1.0])
origins = st.sampled_from(["correction", "verified", "revision"])


def example(text: str, origin: Origin = "correction", chosen: str = "x", before: tuple[str, ...] = ()) -> Candidate:
    return candidate(text, chosen, origin=origin, before=before, system=SYSTEM.content)


def held_out_overlap(examples: list[Candidate], cases: list[Case], threshold: float) -> tuple[list[Candidate], int]:
    plan = Plan.of(CurationSection(overlap=threshold), cases, 0)
    kept = [one for one, why in zip(examples, overlapping(examples, plan), strict=True) if why is None]
    return kept, len(examples) - len(kept)


def held_out(text: str, tier: Any = "gate") -> Case:
    messages = (SYSTEM, Message(role="user", content=text))
    return Case(id=content_hash(text), messages=messages, reference="x", cluster="c", tier=tier)


def alike(left: str, right: str) -> float:
    return jaccard(set(words(left)), set(words(right)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(texts, origins), max_size=40), thresholds)
def test_near_duplicates_are_those_that_comparing_all_pairs_finds(items: list[Any], threshold: float) -> None:
    examples = [example(text, origin, str(i)) for i, (text, origin) in enumerate(items)]
    kept: list[int] = []
    for i in sorted(range(len(items)), key=lambda i: (STRENGTH[items[i][1]], i)):
        if all(alike(items[i][0], items[j][0]) < threshold for j in kept):
            kept.append(i)
    assert near_duplicates(examples, threshold) == ([examples[i] for i in sorted(kept)], len(items) - len(kept))


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=20), st.lists(texts, max_size=20), thresholds)
def test_overlap_with_held_out_cases_is_what_comparing_all_pairs_finds(
    own: list[str], other: list[str], threshold: float
) -> None:
    examples = [example(text, chosen=str(i)) for i, text in enumerate(own)]
    expected = [one for one, text in zip(examples, own, strict=True) if all(alike(text, o) < threshold for o in other)]
    cases = [held_out(text) for text in other]
    assert held_out_overlap(examples, cases, threshold) == (expected, len(own) - len(expected))


def test_the_stronger_origin_stays_where_the_same_prompt_has_two_answers() -> None:
    revision, verified = example("Where is it?", "revision", "a"), example("where is it", "verified", "b")
    correction = example("WHERE is it", "correction", "c")
    assert near_duplicates([revision, verified, correction], 0.85) == ([correction], 2)
    assert near_duplicates([revision, verified], 0.85) == ([verified], 1)


def test_the_shared_system_prompt_makes_nothing_alike() -> None:
    examples = [example("refund"), example("parcel")]
    assert near_duplicates(examples, 0.5) == (examples, 0)
    assert held_out_overlap(examples, [held_out("invoice")], 0.5) == (examples, 0)


def test_the_same_words_after_another_conversation_are_another_prompt() -> None:
    examples = [example("yes", before=("Shall I cancel?",)), example("yes", before=("Shall I pay?",)), example("yes")]
    assert near_duplicates(examples, 0.85) == (examples, 0)


def test_two_sums_of_the_same_numbers_are_two_prompts() -> None:
    examples = [example("What is 17 + 23?"), example("What is 17 * 23?")]
    assert near_duplicates(examples, 0.85) == (examples, 0)


def test_only_held_out_tiers_drop_examples() -> None:
    examples = [example("where is my parcel")]
    assert held_out_overlap(examples, [held_out("where is my parcel", "train")], 0.5) == (examples, 0)
    for tier in ("dev", "gate", "vault"):
        assert held_out_overlap(examples, [held_out("Where is my parcel?", tier)], 0.5) == ([], 1)


def test_nothing_in_gives_nothing_out() -> None:
    assert near_duplicates([], 0.85) == ([], 0)
    assert held_out_overlap([], [], 0.5) == ([], 0)


def test_long_texts_one_word_apart_are_found_among_a_thousand() -> None:
    """At this size the index is banded for real: a missed pair or a wrong one would show."""
    long = [" ".join(f"w{i}x{j}" for j in range(20)) for i in range(500)]
    twins = [f"{text} twin" for text in long]  # Jaccard 20/21
    examples = [example(text) for text in [*long, *twins]]
    kept, dropped = near_duplicates(examples, 0.85)
    assert (kept, dropped) == (examples[:500], 500)


def keys_of(texts: list[str]) -> Keys:
    return Keys.of([example(text) for text in texts])


def test_short_questions_of_one_form_cost_no_comparison_with_each_other() -> None:
    """Most of their words are equal, so that an index would put each beside each: 2,000 would be 2 million pairs."""
    sums = keys_of([f"What is {i}" for i in range(2000)] + ["is what 7"]).words
    assert flagged(sums, 0.85).sum() > 1000
    assert list(repeats(sums, 0.85)) == [(2000, 7)]


def test_a_word_said_often_is_one_word() -> None:
    words = keys_of(["refund refund refund refund refund refund refund refund", "refund", "parcel refund"]).words
    assert words.sizes.tolist() == [1, 1, 2]
    assert list(repeats(words, 0.85)) == [(1, 0)]


def test_keys_of_parts_are_the_keys_of_the_whole() -> None:
    """Workers hash parts: what they give must not depend on what else lay in the part."""
    texts = ["where is my parcel", "my parcel is where", "refund", "a b c d e f g h a b"]
    whole, parts = keys_of(texts), Keys.joined([keys_of(texts[:1]), keys_of([]), keys_of(texts[1:])])
    assert whole.said.tolist() == parts.said.tolist()
    assert whole.words.names().tolist() == parts.words.names().tolist()
    assert whole.words.take(np.array([3, 0])).names().tolist() == whole.words.names()[[3, 0]].tolist()
    assert len(set(whole.said.tolist())) == 4
    assert len(set(whole.words.names().tolist())) == 3  # two questions have the same words in another order


def test_half_a_character_is_hashed_as_any_other_word() -> None:
    words = keys_of(["\ud800", "\ud800", "\udc00", "where is \ud800 my parcel"])
    assert words.said[0] == words.said[1] != words.said[2]
    assert near_duplicates([example("\ud800"), example("\ud800"), example("\udc00")], 0.85)[1] == 1


def test_each_text_has_the_words_that_a_set_has_however_many_and_long_they_are() -> None:
    long = ["parcel" * 3, "parcel" * 3 + "s", "parcel" * 30, "parcel" * 30 + "s", "größer", "12345678", "123456789"]
    texts = [[f"w{i % 97}", *long[: i % 8], "", f"w{i % 89}"] for i in range(5000)]
    said, sets = hashed(texts, np.zeros(len(texts), np.uint64))
    assert sets.sizes.tolist() == [len(set(text)) for text in texts]
    assert len(set(sets.names().tolist())) == len({frozenset(text) for text in texts})
    assert len(set(said.tolist())) == len({tuple(text) for text in texts})
    left, right = np.arange(200), np.arange(200) + 97
    both = [len(set(texts[i]) & set(texts[j])) for i, j in zip(left, right, strict=True)]
    assert sets.shared(left, right).tolist() == both
