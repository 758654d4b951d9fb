"""What goes wrong again and again: past failures, grouped by likeness and named by their words.

In: failures as text with vectors. Out: named patterns with counts, the largest first, always the same ones. Must not
know where failures come from, or what is done about them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.memory.keep import about, is_good
from sharpen.memory.words import asked, words
from sharpen.models.embeddings import Embedder
from sharpen.plugins import part
from sharpen.records import Memory

NEAR = 0.7  # chosen: on the demo's messages with MiniLM few stay alone and groups do not mix yet, docs/12-memory.md
MOST = 4_000  # chosen: newest failures that are looked at; the distances of all pairs then take 64 MB
_NAME_WORDS = 3  # chosen: enough to tell patterns apart, short enough for a table


@dataclass(frozen=True, slots=True)
class Pattern:
    """Failures that are alike."""

    name: str
    count: int
    about: tuple[str, ...]  # the records that failed, oldest first
    example: str  # the question nearest to the middle


def failures(memories: Iterable[Memory]) -> list[Memory]:
    """Return one memory per record that failed, oldest first: a bad score, or an answer that had to be corrected."""
    bad: dict[str, Memory] = {}
    for memory in memories:
        if memory.type == "contrast" or (memory.type in ("score", "critique") and not is_good(memory)):
            bad.setdefault(about(memory), memory)
    return list(bad.values())


def patterns(failed: Sequence[Memory], embedder: Embedder) -> list[Pattern]:
    """Group failures by the meaning of their questions. Raises: MissingExtra."""
    failed = failed[-MOST:]
    if not failed:
        return []
    texts = [asked(memory.messages) or memory.reply for memory in failed]
    vectors = np.asarray(embedder.embed_documents(texts))
    groups = grouped(vectors)
    names = named([[texts[place] for place in group] for group in groups])
    found = []
    for group, name in zip(groups, names, strict=True):
        middle = vectors[group].mean(axis=0)
        nearest = group[int(np.argmax(np.round(vectors[group] @ middle, 6)))]
        found.append(Pattern(name, len(group), tuple(about(failed[place]) for place in group), texts[nearest]))
    return found


def grouped(vectors: np.ndarray, near: float = NEAR) -> list[list[int]]:
    """Return positions of unit vectors (N, D) in groups of mean cosine distance below `near`, the largest group first.

    Average linkage: unlike a density method it also groups a handful, and needs no number of groups.
    Source: Sokal & Michener 1958 (UPGMA).
    """
    if len(vectors) == 1:
        return [[0]]
    cluster = part("sklearn.cluster").AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=near
    )
    groups: dict[int, list[int]] = {}
    for place, label in enumerate(cluster.fit_predict(np.asarray(vectors, dtype=np.float64))):
        groups.setdefault(int(label), []).append(place)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))


def named(groups: Sequence[Sequence[str]]) -> list[str]:
    """Return a name per group of texts: its most distinctive words. Equal names are numbered.

    Class-based TF-IDF: a word's count in the group, times log(1 + mean words per group / the word's count in all).
    Source: Grootendorst 2022, BERTopic, section 3.3.
    """
    stop = part("sklearn.feature_extraction.text").ENGLISH_STOP_WORDS
    counts = [
        Counter(word for text in texts for word in words(text) if len(word) > 1 and word not in stop)
        for texts in groups
    ]
    overall = sum(counts, Counter[str]())
    mean = overall.total() / max(len(groups), 1)
    names = []
    for count in counts:
        weight = {word: times * math.log(1 + mean / overall[word]) for word, times in count.items()}
        best = sorted(weight, key=lambda word: (-weight[word], word))[:_NAME_WORDS]
        names.append(" ".join(best) or "(no words)")
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def failure_weights(found: Iterable[Pattern], strongest: float = 2.0) -> Mapping[str, float]:
    """Return how much more each failed record should count in training, 1 to `strongest`: common failures more.

    A record of the largest pattern gets `strongest`; another, in proportion to the logarithm of its pattern's size; one
    that fails alone gets 1. Chosen: the logarithm, so that one flood of equal failures does not drown the others.
    """
    all_ = list(found)
    largest = math.log(max((pattern.count for pattern in all_), default=1))
    return {
        record: 1 + (strongest - 1) * (math.log(pattern.count) / largest if largest else 0.0)
        for pattern in all_
        for record in pattern.about
    }
