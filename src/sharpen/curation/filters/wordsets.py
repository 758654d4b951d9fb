"""Many texts as sets of numbers, in two arrays: a million of them are compared without a million Python sets.

In: texts that are cut into words. Out: per text its distinct words, as 64-bit numbers. Must not know what is compared,
or why.

The numbers are the same in every process, so that what workers made can be put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sharpen.curation.filters.wordhash import mixed, word_hashes

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: spreads bits. Source: Knuth, TAOCP 3, 6.4
_BITS = np.uint64(52)  # of a word's number; the others name a text, so these and _AT_ONCE belong together
_AT_ONCE = 4_096  # texts whose words are sorted together


class WordSets(NamedTuple):
    """Text i has the words hashes[offsets[i]:offsets[i + 1]], each once."""

    hashes: np.ndarray  # (W,) uint64
    offsets: np.ndarray  # (N + 1,) int64

    @property
    def sizes(self) -> np.ndarray:
        """How many distinct words each text has (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> WordSets:
        """Return some texts, in the order of `rows` (M,)."""
        offsets = _offsets(self.sizes[rows])
        at = np.repeat(self.offsets[:-1][rows] - offsets[:-1], np.diff(offsets))
        at += np.arange(len(at))
        return WordSets(self.hashes[at], offsets)

    def names(self) -> np.ndarray:
        """Return a number per text (N,) that equal sets share, and others do not but for one pair in 2^64."""
        return _sums(self.hashes, self.offsets)

    def shared(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return how many words text left[i] has in common with text right[i] (P,)."""
        both = self.take(np.stack([left, right], axis=1).ravel())
        starts, lengths = both.offsets[:-1:2], both.offsets[2::2] - both.offsets[:-1:2]
        shared = np.zeros(len(left), dtype=np.int64)
        for length in np.unique(lengths).tolist():  # pairs of one length are one matrix, which sorts them together
            some = np.flatnonzero(lengths == length)
            words = np.sort(both.hashes[starts[some][:, None] + np.arange(length)], axis=1)
            shared[some] = (words[:, 1:] == words[:, :-1]).sum(axis=1)
        return shared


def hashed(texts: Sequence[Sequence[str]], salts: np.ndarray) -> tuple[np.ndarray, WordSets]:
    """Return per text a number for its words in their order (N,), and its distinct words.

    A word is another number under another salt (N,), so that texts of unlike salts share no words. Of a word's number
    52 bits stay: two words of a text are taken for one in 10^12 texts of a hundred words.
    """
    hashes_W, offsets = word_hashes(texts)
    parts, said = [], [np.zeros(0, np.uint64)]
    for start in range(0, len(texts), _AT_ONCE):
        own = offsets[start : start + _AT_ONCE + 1]
        part_said, part_words = _sets(hashes_W[own[0] : own[-1]], own - own[0], salts[start : start + _AT_ONCE])
        said.append(part_said)
        parts.append(part_words)
    return np.concatenate(said), joined(parts)


def _sets(hashes_W: np.ndarray, offsets: np.ndarray, salts_N: np.ndarray) -> tuple[np.ndarray, WordSets]:
    count, lengths_N = len(salts_N), np.diff(offsets)
    text_W = np.repeat(np.arange(count), lengths_N)
    place_W = np.arange(len(hashes_W)) - offsets[text_W]
    own_W = hashes_W ^ salts_N[text_W]
    with np.errstate(over="ignore"):
        said_N = _sums(own_W + place_W.astype(np.uint64) * FACTOR, offsets)
    # Text and word fit into one number, so that one sort brings a text's equal words together.
    both_W = np.sort((text_W.astype(np.uint64) << _BITS) | (own_W >> (64 - _BITS)))
    both_W = both_W[np.append(True, both_W[1:] != both_W[:-1])[: len(both_W)]]
    starts = np.append(np.searchsorted(both_W, np.arange(count, dtype=np.uint64) << _BITS), len(both_W))
    return said_N, WordSets(both_W & ((np.uint64(1) << _BITS) - np.uint64(1)), starts)


def joined(parts: Iterable[WordSets]) -> WordSets:
    """Put the texts of several batches into one."""
    held = list(parts)
    sizes = np.concatenate([np.zeros(0, np.int64), *(one.sizes for one in held)])
    return WordSets(np.concatenate([np.zeros(0, np.uint64), *(one.hashes for one in held)]), _offsets(sizes))


def _sums(hashes_W: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.diff(np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed(hashes_W))])[offsets])


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
