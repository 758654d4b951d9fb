"""Everything that one tenant remembers, found by words, by meaning, or by both.

In: a question. Out: Memory records with a score, best first. Must not know who asks, or how a prompt is built.

Records come from the SQL store alone; an index only says which. One that is stale can lose a memory, but cannot show
one that was erased, or another tenant's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from sharpen.config import Config
from sharpen.memory.keep import about, is_good
from sharpen.memory.recall import Bm25
from sharpen.memory.vectors import Entry, Index, VectorIndex
from sharpen.memory.words import asked
from sharpen.records import Memory, MemoryType
from sharpen.store import ERASED, Store

log = logging.getLogger("sharpen.memory")

By = Literal["words", "vectors", "hybrid"]
# Source: Cormack, Clarke & Buettcher 2009, Reciprocal Rank Fusion outperforms Condorcet, section 2: k = 60.
_RRF_K = 60
_DEPTH = 4  # chosen: each ranking gives four times what is asked for, so that a memory both name can rise
_ROWS_AT_ONCE = 1_000  # chosen: memories written to the index between two reports of progress


class Found(NamedTuple):
    """A memory, and how well it fits; scores compare within one search only."""

    memory: Memory
    score: float


class Memories:
    """What one tenant remembers. `index` is needed to find by vectors, and may be left out otherwise."""

    def __init__(self, store: Store, *, tenant: str = "default", by: By = "words", index: Index | None = None) -> None:
        self._store = store
        self._tenant = tenant
        self._by = by
        self._index = index
        self._known: dict[str, Memory] | None = None
        self._words = Bm25()

    @classmethod
    def of(cls, config: Config, store: Store, *, by: By | None = None) -> Memories:
        """Return the memory that the configuration names; `by` overrides how it is searched."""
        settings = config.memory
        by = by or settings.recall
        index = VectorIndex.of(config) if by != "words" else None
        return cls(store, tenant=settings.tenant, by=by, index=index)

    def all(self, types: Iterable[MemoryType] = ()) -> list[Memory]:
        """Return what is remembered, oldest first, of these types or of all."""
        wanted = set(types)
        return [memory for memory in self._load().values() if not wanted or memory.type in wanted]

    def search(self, text: str, k: int, types: Sequence[MemoryType] = ()) -> list[Found]:
        """Return up to `k` memories that fit the text, best first. Equal scores stand in the order of their ids.

        Raises: StoreError when the vector store fails.
        """
        known = self._load()
        if k <= 0 or not known:
            return []
        rankings = []
        if self._by != "vectors":
            rankings.append(self._by_words(text, k * _DEPTH, types))
        if self._by != "words":
            rankings.append(self._by_vectors(text, k * _DEPTH, types))
        scores = rankings[0] if len(rankings) == 1 else fused(rankings)
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
        return [Found(known[name], score) for name, score in best]

    def add(self, memories: Sequence[Memory]) -> None:
        """Bring memories that were just kept into the indexes. Raises: StoreError."""
        self._known = None
        mine = [memory for memory in memories if memory.tenant == self._tenant and memory.reply != ERASED]
        if self._index is not None and mine:
            self._index.upsert([entry(memory) for memory in mine])

    def forget(self, ids: Sequence[str]) -> int:
        """Erase the words of memories, here and in the index. Returns how many of them had words.

        Another tenant's are left alone.
        """
        mine = [memory.id for memory in self._store.find(Memory, ids=ids) if memory.tenant == self._tenant]
        erased = sum(self._store.erase(one) for one in mine)
        self._known = None
        if self._index is not None:
            self._index.delete(mine)
        return erased

    def rebuild(self) -> int:
        """Make the vector index again from the store. Returns how many memories it holds now.

        Raises: StoreError. Killed half way, it leaves a part; run again, it makes the whole.
        """
        if not isinstance(self._index, VectorIndex):
            return 0
        self._index.clear()
        entries = [entry(memory) for memory in self._load().values()]
        for start in range(0, len(entries), _ROWS_AT_ONCE):
            self._index.upsert(entries[start : start + _ROWS_AT_ONCE])
        return len(entries)

    def close(self) -> None:
        """Give the index's files and connections back."""
        if isinstance(self._index, VectorIndex):
            self._index.close()

    def _load(self) -> dict[str, Memory]:
        """Read what there is, once until something changes."""
        if self._known is None:
            kept = self._store.find(Memory)
            self._known = {m.id: m for m in kept if m.tenant == self._tenant and m.reply != ERASED}
            self._words = Bm25()
            self._words.add([searched(memory) for memory in self._known.values()])
        return self._known

    def _by_words(self, text: str, k: int, types: Sequence[MemoryType]) -> dict[str, float]:
        memories = list(self._load().values())
        found = self._words.search(text, len(memories) if types else k)
        hits = [(memories[position], score) for position, score in found if score > 0]
        return dict([(m.id, score) for m, score in hits if not types or m.type in types][:k])

    def _by_vectors(self, text: str, k: int, types: Sequence[MemoryType]) -> dict[str, float]:
        known = self._load()
        if self._index is None:
            return {}
        kinds: Sequence[MemoryType | None] = types or (None,)
        hits = [hit for kind in kinds for hit in self._index.search(text, k, type=kind)]
        found = {hit.id: hit.score for hit in hits if hit.id in known}
        if known and not hits and not types:
            log.warning("The vector index is empty, and %s memories are kept: sharpen memory rebuild", len(known))
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:k])


def fused(rankings: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return reciprocal rank fusion: the sum, over the rankings, of 1 / (60 + rank); ranks count from 1.

    Each ranking maps ids to scores; equal scores rank in the order of their ids. Source: Cormack, Clarke & Buettcher
    2009, section 2.
    """
    total: dict[str, float] = {}
    for ranking in rankings:
        ordered = sorted(ranking, key=lambda name: (-ranking[name], name))
        for rank, name in enumerate(ordered, 1):
            total[name] = total.get(name, 0.0) + 1 / (_RRF_K + rank)
    return total


def searched(memory: Memory) -> str:
    """Return the text that a memory is found by: its question; for what is said in words, those as well."""
    question = asked(memory.messages)
    if memory.type in ("document", "lesson", "reflection"):
        return f"{question}\n{memory.reply}".strip()
    return question or memory.reply


def entry(memory: Memory) -> Entry:
    """Return a memory as the vector index holds it."""
    return Entry(memory.id, searched(memory), memory.type, about(memory), is_good(memory))
