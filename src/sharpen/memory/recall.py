"""Find the kept answers that help with a new prompt.

In: accepted (messages, reply) pairs and a prompt. Out: the nearest pairs, or one of each kind. Must not know who asks,
or what the pairs are used for.

`Recall` holds the pairs; an `Index` finds positions among them. `Bm25` is the index that is always there: it needs no
model. What is remembered of every kind, and found by meaning too, is in `search.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from sharpen.memory.words import asked, words
from sharpen.records import Memory, Message
from sharpen.store import ERASED, Store


class Pair(NamedTuple):
    """A prompt and the answer that was accepted for it."""

    messages: tuple[Message, ...]
    reply: str


def with_examples(messages: Sequence[Message], pairs: Iterable[Pair]) -> tuple[Message, ...]:
    """Return the prompt with the pairs as earlier turns.

    The system message comes first, then the pairs, then the question: prompts that share pairs share their beginning,
    which an engine computes once.
    """
    opening = [message for message in messages if message.role == "system"]
    question = [message for message in messages if message.role != "system"]
    turns = [
        turn
        for pair in pairs
        for turn in (*(m for m in pair.messages if m.role != "system"), Message(role="assistant", content=pair.reply))
    ]
    return (*opening, *turns, *question)


class Index(Protocol):
    """Finds texts by likeness. A text's position is the order in which it was added, from 0."""

    def add(self, texts: Sequence[str]) -> None:
        """Append texts."""
        ...

    def search(self, text: str, k: int) -> list[tuple[int, float]]:
        """Return up to `k` (position, score), best first; equal scores stand in the order they were added."""
        ...


class Bm25:
    """Lexical search over an inverted index.

    Source: Robertson & Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond, eq. 3.15. Its inverse
    document frequency has 1 added inside the logarithm, so that a word most texts share never counts against a text.
    """

    k1 = 1.2  # chosen, as is b: inside the ranges that the paper found reasonable, and what search engines ship
    b = 0.75

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, texts: Sequence[str]) -> None:
        """Append texts."""
        for text in texts:
            counts = Counter(words(text))
            for word, count in counts.items():
                self._postings[word].append((len(self._lengths), count))
            self._lengths.append(counts.total())

    def search(self, text: str, k: int) -> list[tuple[int, float]]:
        """Return up to `k` (position, score), best first; equal scores stand in the order they were added."""
        lengths = np.asarray(self._lengths, dtype=np.float64)
        scores = np.zeros(len(lengths))
        for word in dict.fromkeys(words(text)):
            postings = self._postings.get(word)
            if not postings:
                continue
            positions, counts = np.asarray(postings).T
            idf = np.log(1 + (len(lengths) - len(postings) + 0.5) / (len(postings) + 0.5))
            saturation = self.k1 * (1 - self.b + self.b * lengths[positions] / lengths.mean())
            scores[positions] += idf * counts / (counts + saturation)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(int(position), float(scores[position])) for position in best]


class Recall:
    """Accepted answers, searchable by the prompt they answered. The same pair twice is kept once."""

    def __init__(self, pairs: Iterable[tuple[Sequence[Message], str]] = (), index: Index | None = None) -> None:
        self._index = index or Bm25()
        self._pairs: dict[Pair, None] = {}
        self._ordered: list[Pair] = []
        self.add(pairs)

    @classmethod
    def of(cls, store: Store, tenant: str = "default") -> Recall:
        """Return a search over every example that a tenant remembers and nobody erased."""
        kept = [memory for memory in store.find(Memory, subjects=["example"]) if memory.tenant == tenant]
        return cls((memory.messages, memory.reply) for memory in kept if memory.reply != ERASED)

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, pairs: Iterable[tuple[Sequence[Message], str]]) -> None:
        """Keep more pairs."""
        fresh = [pair for pair in dict.fromkeys(Pair(tuple(m), r) for m, r in pairs) if pair not in self._pairs]
        self._pairs |= dict.fromkeys(fresh)
        self._ordered += fresh
        self._index.add([asked(pair.messages) for pair in fresh])

    def nearest(self, messages: Sequence[Message], k: int, *, one_per_reply: bool = False) -> list[Pair]:
        """Return the `k` pairs whose prompt is most like the last user message of `messages`, best first.

        With `one_per_reply`, each distinct reply comes once, with its nearest prompt. Where too few share a word with
        the prompt, the oldest pairs fill up.
        """
        if k <= 0 or not self._ordered:
            return []
        found = self._index.search(asked(messages), len(self) if one_per_reply else k)
        ranked = [self._ordered[position] for position, _ in found]
        return (_one_per_reply(ranked) if one_per_reply else ranked)[:k]

    def diverse(self, k: int) -> list[Pair]:
        """Return the oldest pair of each distinct reply, the most frequent replies first, at most `k`."""
        often = Counter(pair.reply.strip() for pair in self._ordered)
        firsts = _one_per_reply(self._ordered)
        return sorted(firsts, key=lambda pair: -often[pair.reply.strip()])[: max(k, 0)]


def _one_per_reply(pairs: Iterable[Pair]) -> list[Pair]:
    """Keep the first pair of each distinct reply."""
    firsts: dict[str, Pair] = {}
    for pair in pairs:
        firsts.setdefault(pair.reply.strip(), pair)
    return list(firsts.values())
