"""Memories are found by words, by meaning, and by both; an index is a copy that can be made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sharpen.config import parse
from sharpen.memory.keep import keep_document, remember
from sharpen.memory.search import Memories, fused
from sharpen.memory.vectors import VectorIndex
from sharpen.records import Memory, Message
from sharpen.store import Store
from tests.memory.embedders import WordEmbedder

QUESTIONS = {
    "Where is my parcel?": "shipping",
    "I want my money back for the lamp": "returns",
    "My password does not work": "account",
    "The parcel came broken": "returns",
}


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def filled(store: Store, tenant: str = "default") -> list[Memory]:
    return [
        remember(store, ask(question), reply, [f"trc_{place}"], tenant=tenant)
        for place, (question, reply) in enumerate(QUESTIONS.items())
    ]


def index(folder: Path, tenant: str = "default") -> VectorIndex:
    return VectorIndex.of(parse({"home": str(folder), "memory": {"tenant": tenant}}), WordEmbedder())


def asked(memories: Memories, text: str, k: int = 4) -> list[str]:
    return [found.memory.messages[0].content for found in memories.search(text, k)]


@pytest.mark.parametrize("by", ["words", "vectors", "hybrid"])
def test_the_memory_that_fits_comes_first(sqlite_store: Store, tmp_path: Path, by: str) -> None:
    memories = Memories(sqlite_store, by=by, index=index(tmp_path))  # type: ignore[arg-type]
    memories.add(filled(sqlite_store))
    assert asked(memories, "password does not work", 1) == ["My password does not work"]
    memories.close()


def test_reciprocal_rank_fusion_is_that_of_the_paper() -> None:
    assert fused([{"a": 9.0, "b": 5.0}, {"b": 0.3, "c": 0.2}]) == pytest.approx(
        {"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62}
    )


def test_a_rebuilt_index_finds_the_same(sqlite_store: Store, tmp_path: Path) -> None:
    memories = Memories(sqlite_store, by="vectors", index=index(tmp_path))
    memories.add(filled(sqlite_store))
    before = {text: memories.search(text, 3) for text in QUESTIONS}
    memories.close()
    shutil.rmtree(tmp_path / "vectors")
    memories = Memories(sqlite_store, by="vectors", index=index(tmp_path))
    assert [found for text in QUESTIONS for found in memories.search(text, 3)] == []
    assert memories.rebuild() == 4
    assert {text: memories.search(text, 3) for text in QUESTIONS} == before
    assert memories.rebuild() == 4
    assert {text: memories.search(text, 3) for text in QUESTIONS} == before
    memories.close()


def test_an_empty_index_says_that_it_should_be_rebuilt(
    sqlite_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(sqlite_store)
    memories = Memories(sqlite_store, by="vectors", index=index(tmp_path))
    assert memories.search("parcel", 3) == []
    assert "sharpen memory rebuild" in caplog.text
    memories.close()


def test_what_is_forgotten_is_gone_from_the_store_and_the_index(sqlite_store: Store, tmp_path: Path) -> None:
    ours = index(tmp_path)
    memories = Memories(sqlite_store, by="hybrid", index=ours)
    kept = filled(sqlite_store)
    memories.add(kept)
    assert memories.forget([kept[0].id]) == 1
    assert len(ours) == 3
    assert "Where is my parcel?" not in asked(memories, "where is my parcel")
    assert memories.forget([kept[0].id]) == 0
    memories.close()


def test_a_stale_index_cannot_show_what_was_erased(sqlite_store: Store, tmp_path: Path) -> None:
    ours = index(tmp_path)
    kept = filled(sqlite_store)
    Memories(sqlite_store, by="vectors", index=ours).add(kept)
    sqlite_store.erase(kept[0].id)  # behind the index's back
    memories = Memories(sqlite_store, by="vectors", index=ours)
    assert "Where is my parcel?" not in asked(memories, "where is my parcel")
    ours.close()


@pytest.mark.parametrize("by", ["words", "vectors", "hybrid"])
def test_another_tenant_s_memories_are_not_found_nor_forgotten(sqlite_store: Store, tmp_path: Path, by: str) -> None:
    theirs = filled(sqlite_store, tenant="them")
    ours = Memories(sqlite_store, tenant="us", by=by, index=index(tmp_path, "us"))  # type: ignore[arg-type]
    ours.add(theirs)
    assert ours.search("Where is my parcel?", 5) == []
    assert ours.forget([memory.id for memory in theirs]) == 0
    assert all(memory.reply != "[erased]" for memory in sqlite_store.find(Memory))
    ours.close()


def test_types_narrow_a_search(sqlite_store: Store, tmp_path: Path) -> None:
    memories = Memories(sqlite_store, by="hybrid", index=index(tmp_path))
    memories.add(filled(sqlite_store))
    memories.add(keep_document(sqlite_store, "Every parcel has a number on its label.", "handbook.txt"))
    memories.add([remember(sqlite_store, ask("Where is my parcel?"), "Look for the number.", ["trc_9"], "lesson")])
    found = memories.search("parcel number", 10, ("document", "lesson"))
    assert {one.memory.type for one in found} == {"document", "lesson"}
    assert [one.memory.type for one in memories.search("parcel label number", 1, ("document",))] == ["document"]
    memories.close()


def test_finding_by_words_opens_no_vector_store(sqlite_store: Store, tmp_path: Path) -> None:
    filled(sqlite_store)
    memories = Memories.of(parse({"home": str(tmp_path)}), sqlite_store)
    assert asked(memories, "password", 1) == ["My password does not work"]
    assert not (tmp_path / "vectors").exists()
    assert not (tmp_path / "embeddings.db").exists()
