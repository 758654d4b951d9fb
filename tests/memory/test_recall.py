"""Recall finds the answers that help, without a model and always the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from sharpen.memory.keep import remember
from sharpen.memory.recall import Bm25, Pair, Recall
from sharpen.memory.words import asked, words
from sharpen.records import Memory, Message
from sharpen.store import Store


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="system", content="Name the team."), Message(role="user", content=text))


PAIRS = [
    Pair(ask("Where is my parcel?"), "shipping"),
    Pair(ask("I want my money back for the lamp"), "returns"),
    Pair(ask("The parcel never arrived"), "shipping"),
    Pair(ask("My password does not work"), "account"),
    Pair(ask("The lamp came broken in its parcel"), "returns"),
]


def test_the_nearest_prompts_come_first() -> None:
    found = Recall(PAIRS).nearest(ask("lamp money"), 2)
    assert [pair.messages[-1].content for pair in found] == [
        "I want my money back for the lamp",
        "The lamp came broken in its parcel",
    ]


def test_one_per_reply_gives_each_reply_its_nearest_prompt() -> None:
    found = Recall(PAIRS).nearest(ask("where is my parcel"), 5, one_per_reply=True)
    assert [pair.reply for pair in found] == ["shipping", "account", "returns"]
    assert found[0] == PAIRS[0]


def test_the_oldest_pairs_fill_up_where_no_word_is_shared() -> None:
    assert Recall(PAIRS).nearest(ask("zebra"), 3) == PAIRS[:3]


def test_a_diverse_choice_has_one_pair_per_reply_and_frequent_replies_first() -> None:
    recall = Recall([PAIRS[3], *PAIRS[:3], PAIRS[4]])
    assert [pair.reply for pair in recall.diverse(5)] == ["shipping", "returns", "account"]
    assert recall.diverse(1) == [PAIRS[0]]


def test_an_empty_recall_finds_nothing() -> None:
    assert Recall().nearest(ask("parcel"), 3) == Recall().diverse(3) == []
    assert Recall(PAIRS).nearest(ask("parcel"), 0) == Recall(PAIRS).diverse(0) == []


def test_the_same_pair_is_kept_once_and_later_pairs_are_found() -> None:
    recall = Recall(PAIRS)
    recall.add([*PAIRS, Pair(ask("A zebra is on the invoice"), "billing")])
    assert len(recall) == 6
    assert recall.nearest(ask("zebra"), 1)[0].reply == "billing"


def test_bm25_scores_are_those_of_the_formula() -> None:
    """Computed by hand from eq. 3.15: 3 texts of 2, 1 and 3 words, k1 1.2, b 0.75."""
    index = Bm25()
    index.add(["red lamp", "lamp", "red red door"])
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {0: idf * 1 / (1 + 1.2), 2: idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 1.5)), 1: 0.0}
    found = index.search("red", 3)
    assert [position for position, _ in found] == [2, 0, 1]
    assert dict(found) == pytest.approx(expected)


def test_another_index_takes_the_place_of_the_lexical_one() -> None:
    class Newest:
        def __init__(self) -> None:
            self.count = 0

        def add(self, texts: list[str]) -> None:
            self.count += len(texts)

        def search(self, text: str, k: int) -> list[tuple[int, float]]:
            return [(position, float(position)) for position in reversed(range(self.count))][:k]

    assert Recall(PAIRS, index=Newest()).nearest(ask("parcel"), 2) == [PAIRS[4], PAIRS[3]]


def test_what_is_remembered_twice_is_kept_once_and_recalled(sqlite_store: Store) -> None:
    first = remember(sqlite_store, ask("Where is it?"), "shipping", ["trc_1", "fbk_1"])
    again = remember(sqlite_store, ask("Where is it?"), "shipping", ["fbk_1", "trc_1"])
    remember(sqlite_store, ask("Where is it?"), "Name the team only.", ["crt_1"], "lesson")
    assert first.id == again.id
    assert sqlite_store.count(Memory) == 2
    assert Recall.of(sqlite_store).nearest(ask("where"), 5) == [Pair(ask("Where is it?"), "shipping")]


def test_erased_memories_are_not_recalled(sqlite_store: Store) -> None:
    kept = remember(sqlite_store, ask("Where is it?"), "shipping", ["trc_1"])
    sqlite_store.erase(kept.id)
    assert len(Recall.of(sqlite_store)) == 0


def test_what_is_asked_is_the_last_user_message() -> None:
    talk = [*ask("first"), Message(role="assistant", content="reply"), Message(role="user", content="second")]
    assert asked(talk) == "second"
    assert asked([Message(role="system", content="alone")]) == "alone"
    assert asked([]) == ""


def test_a_text_without_words_is_one_word() -> None:
    assert words("?!") == ["?!"]
    assert words("Ärger mit 3-4") == ["ärger", "mit", "3", "-", "4"]
