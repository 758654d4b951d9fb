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
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sharpen.fairness.codes import coded
from sharpen.plugins import part

SAME_WORDS = 0.5  # chosen: Jaccard of word pairs; on planted paraphrases by swapped words it finds 0.98 of them
SAME_MEANING = 0.85  # chosen: cosine; a small sentence encoder gives paraphrases 0.8 to 0.95 and topics 0.3 to 0.7
SHORTEST = 4  # chosen: words; shorter texts are alike by chance
PERMUTATIONS = 128  # the estimate's standard error at a Jaccard of 0.5 is sqrt(0.25 / 128) = 0.044
_ROWS_PER_BAND = 2  # at the threshold one pair in 10^8 shares no band: (1 - 0.5^2)^64
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
    Raises: MissingExtra without rensa; ValueError when vectors and texts differ in number.
    """
    count = len(texts)
    words = [_WORD.findall(text.lower()) for text in texts]
    long_N = np.array([len(text) >= SHORTEST for text in words], dtype=bool)
    rows = np.flatnonzero(long_N)
    edges = [_equal(rows, [" ".join(words[row]) for row in rows.tolist()])]
    first = np.array([], dtype=np.int64) if not len(rows) else _firsts(rows, edges[0])
    edges.append(_by_words(first, [words[row] for row in first.tolist()], same_words))
    if vectors_ND is not None:
        if len(vectors_ND) != count:
            raise ValueError(f"{len(vectors_ND)} vectors of {count} texts")
        edges.append(_by_meaning(first, np.asarray(vectors_ND, dtype=np.float32)[first], same_meaning))
    pairs = np.concatenate(edges)
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def sizes(cluster_N: np.ndarray) -> np.ndarray:
    """Return how many rows each row's cluster has, (N,)."""
    return np.asarray(np.bincount(cluster_N)[cluster_N], dtype=np.int64)


def _equal(rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Link each row to the first one with the same words in the same order."""
    _, code_M = coded(texts)
    first_M = np.unique(code_M, return_index=True)[1][code_M] if len(code_M) else code_M
    return np.stack([rows[first_M], rows], 1) if len(rows) else np.zeros((0, 2), dtype=np.int64)


def _firsts(rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.asarray(rows[edges[:, 0] == edges[:, 1]])


def _by_words(rows: np.ndarray, words: Sequence[Sequence[str]], threshold: float) -> np.ndarray:
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = [[f"{one} {two}" for one, two in pairwise(text)] for text in words]
    digests = part("rensa").RMinHash.digests_from_token_sets(pairs, PERMUTATIONS, _SEED)
    digest_NP = np.array(digests, dtype=np.uint32)
    keys = (
        digest_NP[:, at].astype(np.uint64) << np.uint64(32) | digest_NP[:, at + 1].astype(np.uint64)
        for at in range(0, PERMUTATIONS, _ROWS_PER_BAND)
    )
    found = []
    for key_N in keys:
        near = _neighbours(key_N)
        alike = (digest_NP[near[:, 0]] == digest_NP[near[:, 1]]).mean(1) >= threshold
        found.append(near[alike])
    return np.asarray(rows[np.concatenate(found)])


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
