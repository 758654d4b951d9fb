"""Which sets of words are alike, without comparing each with each.

In: sets of words, the strongest text first. Out: pairs of a text and the stronger one that it repeats. Must not know
what the texts are.

A MinHash index says what may be alike: sets that share a band. Only these are compared, exactly. The index works on
whole matrices in rensa; Python sees the few rows that share a band with another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sharpen.curation.filters.wordsets import FACTOR, WordSets
from sharpen.plugins import part

PERMUTATIONS = 128  # chosen: at the usual threshold of 0.85 it misses one pair in 2 million
_MISSES = 1e-6  # chosen: tolerated chance that the index misses a pair exactly at the threshold
_SEED = 1  # of the hash functions; fixed, so that equal examples are filtered equally
_AT_ONCE = 20_000  # chosen: rows whose signatures Python holds at a time, about 100 MB
_PAIRS_AT_ONCE = 20_000  # chosen: pairs that are compared at a time, about 50 MB where texts have 60 words


def repeats(texts: WordSets, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield each text that is like an earlier one by `threshold` or more (Jaccard, 0-1), with the first such one.

    An earlier text counts only where it is not itself yielded, as in a loop that compares each text with those that it
    kept. Misses one pair in a million at the threshold, fewer beyond.
    """
    buckets_E, texts_E = _shared(texts, threshold)
    sizes = texts.sizes
    while len(buckets_E):
        # What is first wherever it stands has nothing before it that could push it out: it stays.
        is_first_E = np.append(True, buckets_E[1:] != buckets_E[:-1])
        is_head = np.ones(len(sizes), dtype=bool)
        is_head[texts_E[~is_first_E]] = False
        firsts_E = texts_E[np.flatnonzero(is_first_E)[np.cumsum(is_first_E) - 1]]
        beside_E = is_head[firsts_E] & ~is_first_E
        pairs = np.stack(np.divmod(np.unique(firsts_E[beside_E] * len(sizes) + texts_E[beside_E]), len(sizes)))
        small, large = np.sort(sizes[pairs], axis=0)
        is_done = is_head
        for head, text in _verified(texts, pairs[:, small >= threshold * large - 1e-9], threshold):
            if not is_done[text]:
                is_done[text] = True
                yield text, head
        left_E = ~is_done[texts_E]
        buckets_E, texts_E = buckets_E[left_E], texts_E[left_E]


def _verified(texts: WordSets, pairs: np.ndarray, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield those of the pairs (2, P) that are alike, in their order."""
    sizes = texts.sizes
    for start in range(0, pairs.shape[1], _PAIRS_AT_ONCE):
        left, right = pairs[:, start : start + _PAIRS_AT_ONCE]
        shared = texts.shared(left, right)
        union = sizes[left] + sizes[right] - shared
        is_alike = shared / np.maximum(union, 1) >= threshold
        yield from zip(left[is_alike].tolist(), right[is_alike].tolist(), strict=True)


def _shared(texts: WordSets, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return buckets and the texts in them, (E,) each, by bucket and then by text; no text is alone in its bucket.

    A set so small that one more word already makes it unlike is only like its equal, and needs no index: two short
    questions of one form share most of their words, and would share most of their bands.
    """
    sizes = texts.sizes
    is_small = sizes < threshold * (sizes + 1) - 1e-9
    is_large = ~is_small
    keys = [texts.names()]  # equal sets; the index finds those of large texts too, but does not see small ones
    rows = [np.arange(len(sizes))]
    large_L = np.flatnonzero(is_large)
    is_flagged = flagged(texts.take(large_L) if is_small.any() else texts, threshold)
    flagged_F = large_L[is_flagged]
    for start in range(0, len(flagged_F), _AT_ONCE):
        some = flagged_F[start : start + _AT_ONCE]
        keys_SB = bands(texts.take(some), threshold)
        keys.append(keys_SB.ravel())
        rows.append(np.repeat(some, keys_SB.shape[1]))
    # Key and text go into one number and are sorted as one; what the key loses by that only adds comparisons.
    bits = np.uint64(max(1, len(sizes).bit_length()))
    both_E = np.concatenate(keys) >> bits << bits | np.concatenate(rows).astype(np.uint64)
    both_E.sort()
    bucket_E = both_E >> bits
    is_new = np.append(True, bucket_E[1:] != bucket_E[:-1])[: len(bucket_E)]
    is_shared = ~(is_new & np.append(is_new[1:], True)[: len(is_new)])
    rows_E = (both_E & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    return bucket_E[is_shared], rows_E[is_shared]


def flagged(texts: WordSets, threshold: float) -> np.ndarray:
    """Tell which texts (N,) share a band with another."""
    rows, library = rows_per_band(threshold), part("rensa")
    count = PERMUTATIONS // rows
    if len(texts.offsets) < 2:
        return np.zeros(0, dtype=bool)
    matrix = _signatures(texts, threshold)
    index = library.RMinHashLSH(threshold=threshold, num_perm=count * rows, num_bands=count)
    return np.array(index.query_duplicate_flags_matrix_one_shot(matrix), dtype=bool)


def bands(texts: WordSets, threshold: float) -> np.ndarray:
    """Return each text's band keys (N, B): texts that are alike by `threshold` share one, but for 1 in a million.

    Source: Leskovec, Rajaraman & Ullman 2014, Mining of Massive Datasets, section 3.4 (banding).
    """
    rows = rows_per_band(threshold)
    count = PERMUTATIONS // rows
    digest_NBR = np.array(_signatures(texts, threshold).to_rows(), dtype=np.uint32).reshape(-1, count, rows)
    keys_NB = np.arange(count, dtype=np.uint64)[None, :].repeat(len(digest_NBR), axis=0)  # bands are told apart
    with np.errstate(over="ignore"):
        for row in range(rows):
            keys_NB = (keys_NB ^ digest_NBR[:, :, row]) * FACTOR
            keys_NB ^= keys_NB >> np.uint64(29)
    return keys_NB


def _signatures(texts: WordSets, threshold: float) -> Any:
    rows = rows_per_band(threshold)
    make = part("rensa").RMinHash.digest_matrix_from_flat_token_hashes
    return make(texts.hashes, texts.offsets.astype(np.uint64), PERMUTATIONS // rows * rows, _SEED)


def rows_per_band(threshold: float) -> int:
    """Return the longest band, in rows, with which a pair at the threshold is still missed less often than _MISSES."""
    fits = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= _MISSES]
    return max(fits, default=1)
