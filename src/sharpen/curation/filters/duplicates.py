"""Questions that say the same thing twice, found in a million without comparing each with each.

In: candidates, as keys that a worker makes of each batch. Out: which of them repeat a stronger or earlier one. Must not
know where the candidates came from, beyond their strength.

Likeness is the Jaccard index of the word sets of two prompts' last user messages: the system prompt is shared by all
and would make everything alike. Equal words are found by their hash, alike ones by a MinHash index and then
compared exactly. Only what shares a band of the index with anything else is looked at one by one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sharpen.curation.candidate import Candidate, asked, context
from sharpen.memory.words import jaccard, words
from sharpen.plugins import part

PERMUTATIONS = 128  # chosen: at the usual threshold of 0.85 it misses one pair in 2 million
_MISSES = 1e-6  # chosen: tolerated chance that the index misses a pair exactly at the threshold
_SEED = 1  # of the hash functions; fixed, so that equal examples are filtered equally
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: spreads bits. Source: Knuth, TAOCP 3, 6.4

Words = Callable[[int], Iterable[str]]


class Keys(NamedTuple):
    """What duplicates are found by: per candidate, what it may be compared with, its words, its bands."""

    groups: np.ndarray  # (N,)
    words: np.ndarray  # (N,)
    bands: np.ndarray  # (N, B)

    @classmethod
    def of(cls, batch: Sequence[Candidate], threshold: float) -> Keys:
        """Hash a batch; this is the part that workers share.

        Only candidates of one context are compared; answers to unlearn that stand alone are compared among themselves,
        and do not push out an answer to learn.
        """
        texts = [words(asked(one.prompt)) for one in batch]
        return cls.of_words(texts, [f"{one.chosen is None}{context(one.prompt)}" for one in batch], threshold)

    @classmethod
    def of_words(cls, texts: Sequence[Sequence[str]], groups: Sequence[str], threshold: float) -> Keys:
        """Hash questions that are cut into words; only those of one group are compared."""
        kinds = [*dict.fromkeys(groups)]
        hash_of = dict(zip(kinds, _hashes(kinds), strict=True))
        return cls(
            np.array([hash_of[group] for group in groups], dtype=np.uint64),
            _hashes("\x1f".join(text) for text in texts),
            bands([set(text) for text in texts], threshold),
        )

    @classmethod
    def joined(cls, parts: Sequence[Keys]) -> Keys:
        """Put the keys of several batches into one."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def bands(texts: Sequence[Collection[str]], threshold: float) -> np.ndarray:
    """Return each text's band keys (N, B): texts that are alike by `threshold` share one, but for 1 in a million.

    Source: Leskovec, Rajaraman & Ullman 2014, Mining of Massive Datasets, section 3.4 (banding).
    """
    rows = rows_per_band(threshold)
    count = PERMUTATIONS // rows
    if not texts:
        return np.zeros((0, count), dtype=np.uint64)
    digests = part("rensa").RMinHash.digests_from_token_sets(texts, PERMUTATIONS, _SEED)
    # By way of 32 bits: from Python's integers that is twice as fast.
    digest_NP = np.array(digests, dtype=np.uint32)[:, : count * rows].astype(np.uint64).reshape(-1, count, rows)
    keys_NB = np.zeros((len(texts), count), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for row in range(rows):
            keys_NB = (keys_NB ^ digest_NP[:, :, row]) * _FACTOR
            keys_NB ^= keys_NB >> np.uint64(29)
    return keys_NB


def rows_per_band(threshold: float) -> int:
    """Return the longest band, in rows, with which a pair at the threshold is still missed less often than _MISSES."""
    fits = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= _MISSES]
    return max(fits, default=1)


def repeated(
    keys: Keys, order: Sequence[int] | np.ndarray, threshold: float, words_of: Words
) -> tuple[np.ndarray, np.ndarray]:
    """Return per candidate the one that it repeats, or -1: by equal words, and by a likeness of `threshold`, 0-1.

    `order` lists the candidates, the strongest first: of alike ones the first stays. `words_of` gives a candidate's
    distinct words, and is asked only where the index says that it may be needed.
    """
    order_N = np.asarray(order, dtype=np.int64)
    total = len(order_N)
    same_N, alike_N = np.full(total, -1, dtype=np.int64), np.full(total, -1, dtype=np.int64)
    if not total:
        return same_N, alike_N
    with np.errstate(over="ignore"):
        identity_N = (keys.groups * _FACTOR) ^ keys.words
    _, first, inverse = np.unique(identity_N[order_N], return_index=True, return_inverse=True)
    firsts_N = order_N[first[inverse]]
    is_repeat = firsts_N != order_N
    same_N[order_N[is_repeat]] = firsts_N[is_repeat]
    left_M = order_N[~is_repeat]
    shared_M = np.zeros(len(left_M), dtype=bool)
    band_keys = []
    with np.errstate(over="ignore"):
        for band in range(keys.bands.shape[1]):
            key_M = keys.bands[left_M, band] ^ (keys.groups[left_M] * _FACTOR)
            _, back, counts = np.unique(key_M, return_inverse=True, return_counts=True)
            is_shared = counts[back] > 1
            shared_M |= is_shared
            band_keys.append((key_M, is_shared))
    looked_at = left_M[shared_M]
    shared = [(key[shared_M], is_shared[shared_M]) for key, is_shared in band_keys]
    for own, twin in _compare(looked_at, shared, threshold, words_of):
        alike_N[own] = twin
    return same_N, alike_N


def _compare(
    looked_at: np.ndarray, band_keys: list[tuple[np.ndarray, np.ndarray]], threshold: float, words_of: Words
) -> Iterator[tuple[int, int]]:
    """Go through what shares a band, in order; yield each that is like a kept one of its bands, with that one."""
    kept: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in band_keys]
    texts: dict[int, frozenset[str]] = {}
    for at, own in enumerate(looked_at.tolist()):
        mine = [(band, int(key[at])) for band, (key, is_shared) in enumerate(band_keys) if is_shared[at]]
        text = frozenset(words_of(own))
        candidates = dict.fromkeys(other for band, key in mine for other in kept[band].get(key, ()))
        twin = next((other for other in candidates if jaccard(text, texts[other]) >= threshold), None)
        if twin is not None:
            yield own, twin
            continue
        texts[own] = text
        for band, key in mine:
            kept[band][key].append(own)


def _hashes(texts: Iterable[str]) -> np.ndarray:
    encoded = (text.encode("utf-8", "surrogatepass") for text in texts)
    return np.frombuffer(b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in encoded), dtype="<u8")
