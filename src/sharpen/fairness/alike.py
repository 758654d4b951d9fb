"""Which comments say the same: clusters of texts with the same words, and of texts with the same meaning.

In: texts, and unit vectors of them where there is an embedding model. Out: a cluster per row. Must not know who wrote
them or what they rate.

Words are compared by MinHash (Broder 1997) over pairs of neighbouring words, meanings by the cosine. Both look only at
pairs that share a band of an index, so that a million rows need no comparison of each with each. A text of a few words
is nobody's copy: "very good" is what many people say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SAME_WORDS = 0.5  # chosen: Jaccard of word pairs; on planted paraphrases by swapped words it finds 0.98 of them
SAME_MEANING = 0.85  # chosen: cosine; a small sentence encoder gives paraphrases 0.8 to 0.95 and topics 0.3 to 0.7
SHORTEST = 4  # chosen: words; shorter texts are alike by chance
PERMUTATIONS = 64  # the estimate's standard error at a Jaccard of 0.5 is sqrt(0.25 / 64) = 0.06
_ROWS_PER_BAND = 2  # at the threshold one pair in 10,000 shares no band: (1 - 0.5^2)^32
_AT_ONCE = 100_000  # texts that lie in memory as words
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: spreads bits. Source: Knuth, TAOCP 3, 6.4
_EXACT = 20_000  # chosen: up to here all cosines are computed, in blocks; beyond, by random hyperplanes
_BLOCK = 1_024
_BITS, _TABLES = 12, 64  # at a cosine of 0.85, 12 of 12 signs agree with p = 0.10; one table of 64 does with p = 0.998
_SEED = 1
_WORD = re.compile(r"\w+")


def clusters(
    texts: Sequence[str],
    vectors_ND: np.ndarray | None = None,
    *,
    same_words: float = SAME_WORDS,
    same_meaning: float = SAME_MEANING,
) -> np.ndarray:
    """Return each row's cluster, (N,): rows are linked when their words or their meanings are alike.

    Rows of fewer than SHORTEST words stand alone. `vectors_ND` holds a unit vector per row.
    Raises: ValueError when vectors and texts differ in number.
    """
    count = len(texts)
    ids: dict[str, int] = {}
    seen: dict[bytes, int] = {}
    same, first, digests = [], [], [np.zeros((0, PERMUTATIONS), dtype=np.uint32)]
    for begin in range(0, count, _AT_ONCE):
        fresh = []
        for row, text in enumerate(texts[begin : begin + _AT_ONCE], begin):
            words = _WORD.findall(text.lower())
            if len(words) < SHORTEST:
                continue
            twin = seen.setdefault(blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=16).digest(), row)
            if twin == row:
                first.append(row)
                fresh.append(words)
            else:
                same.append((twin, row))
        if fresh:
            digests.append(_signed(fresh, ids))
    rows = np.array(first, dtype=np.int64)
    edges = [np.array(same, dtype=np.int64).reshape(-1, 2), _by_words(rows, np.concatenate(digests), same_words)]
    if vectors_ND is not None:
        if len(vectors_ND) != count:
            raise ValueError(f"{len(vectors_ND)} vectors of {count} texts")
        edges.append(_by_meaning(rows, np.asarray(vectors_ND, dtype=np.float32)[rows], same_meaning))
    pairs = np.concatenate(edges)
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def sizes(cluster_N: np.ndarray) -> np.ndarray:
    """Return how many rows each row's cluster has, (N,)."""
    return np.asarray(np.bincount(cluster_N)[cluster_N], dtype=np.int64)


def _by_words(rows: np.ndarray, digest_NP: np.ndarray, threshold: float) -> np.ndarray:
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    found = []
    for at in range(0, PERMUTATIONS, _ROWS_PER_BAND):
        key_N = digest_NP[:, at].astype(np.uint64) << np.uint64(32) | digest_NP[:, at + 1].astype(np.uint64)
        near = _neighbours(key_N)
        alike_E = np.zeros(len(near), dtype=bool)
        for start in range(0, len(near), _AT_ONCE):
            some = near[start : start + _AT_ONCE]
            alike_E[start : start + _AT_ONCE] = (digest_NP[some[:, 0]] == digest_NP[some[:, 1]]).mean(1) >= threshold
        found.append(near[alike_E])
    return np.asarray(rows[np.unique(np.concatenate(found), axis=0)])


def _signed(texts: Sequence[Sequence[str]], ids: dict[str, int]) -> np.ndarray:
    """Return the MinHash of each text's pairs of neighbouring words, (N, PERMUTATIONS); `ids` numbers words as met.

    Hash functions are multiply-shift on 64 bits (Dietzfelbinger et al. 1997).
    """
    counts_N = np.array([len(text) - 1 for text in texts], dtype=np.int64)
    word = np.fromiter((ids.setdefault(one, len(ids)) for text in texts for one in text), dtype=np.uint64)
    start_N = np.concatenate([[0], np.cumsum(counts_N + 1)[:-1]])
    is_first = np.ones(len(word), dtype=bool)
    is_first[start_N + counts_N] = False  # the last word of a text begins no pair
    place = np.flatnonzero(is_first)
    digest_NP = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    random = np.random.default_rng(_SEED)
    with np.errstate(over="ignore"):
        pair = (word[place] * _MIX + word[place + 1] + np.uint64(1)) * _MIX
        pair ^= pair >> np.uint64(31)
        begin_N = np.concatenate([[0], np.cumsum(counts_N)[:-1]])
        for at in range(PERMUTATIONS):
            odd, shift = random.integers(0, 2**63, 2, dtype=np.uint64)
            hashed = ((pair * (odd * np.uint64(2) + np.uint64(1)) + shift) >> np.uint64(32)).astype(np.uint32)
            digest_NP[:, at] = np.minimum.reduceat(hashed, begin_N)
    return digest_NP


def _by_meaning(rows: np.ndarray, vectors_ND: np.ndarray, threshold: float) -> np.ndarray:
    found: list[np.ndarray] = [np.zeros((0, 2), dtype=np.int64)]
    if len(rows) <= _EXACT:
        for start in range(0, len(rows), _BLOCK):
            near = np.argwhere(vectors_ND[start : start + _BLOCK] @ vectors_ND.T >= threshold) + np.array([start, 0])
            found.append(near[near[:, 0] < near[:, 1]])
        return np.asarray(rows[np.concatenate(found)])
    random = np.random.default_rng(_SEED)
    power_B = np.left_shift(1, np.arange(_BITS))
    for _ in range(_TABLES):
        plane_DB = random.standard_normal((vectors_ND.shape[1], _BITS)).astype(np.float32)
        near = _neighbours((vectors_ND @ plane_DB > 0) @ power_B)
        cosine_E = np.einsum("ed,ed->e", vectors_ND[near[:, 0]], vectors_ND[near[:, 1]])
        found.append(near[cosine_E >= threshold])
    return np.asarray(rows[np.concatenate(found)])


def _neighbours(key_N: np.ndarray, reach: int = 4) -> np.ndarray:
    """Pair each row with the next few of the same key: alike rows are all linked in the end, and no bucket explodes."""
    order_N = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order_N]
    found = []
    for step in range(1, reach + 1):
        same = np.flatnonzero(sorted_N[step:] == sorted_N[:-step])
        found.append(np.stack([order_N[same], order_N[same + step]], 1))
    return np.concatenate(found)
