"""Many texts as sets of numbers, in two arrays: a million of them are compared without a million Python sets.

In: texts that are cut into words. Out: per text its distinct words, as ascending 64-bit numbers. Must not know what is
compared, or why.

The numbers are the same in every process, so that what workers made can be put together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: spreads bits. Source: Knuth, TAOCP 3, 6.4


class WordSets(NamedTuple):
    """Text i has the words hashes[offsets[i]:offsets[i + 1]], ascending and distinct."""

    hashes: np.ndarray  # (W,) uint64
    offsets: np.ndarray  # (N + 1,) int64

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]], salts: np.ndarray) -> WordSets:
        """Hash texts; a word is another number under another salt (N,), so that unlike salts share no words."""
        lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        table = _Hashes()
        words = map(table.__getitem__, chain.from_iterable(texts))
        hashes_W = np.fromiter(words, dtype=np.uint64, count=int(lengths_N.sum()))
        return _distinct(hashes_W ^ np.repeat(salts, lengths_N), lengths_N)

    @property
    def sizes(self) -> np.ndarray:
        """How many distinct words each text has (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> WordSets:
        """Return some texts, in the order of `rows` (M,)."""
        offsets = _offsets(self.sizes[rows])
        shift_M = self.offsets[:-1][rows] - offsets[:-1]
        at = np.repeat(shift_M, np.diff(offsets))
        at += np.arange(len(at))
        return WordSets(self.hashes[at], offsets)

    def chunks(self, size: int) -> Iterator[WordSets]:
        """Yield the texts, up to `size` at a time, without a copy."""
        for start in range(0, len(self.offsets) - 1, size):
            offsets = self.offsets[start : start + size + 1]
            yield WordSets(self.hashes[offsets[0] : offsets[-1]], offsets - offsets[0])

    def words(self, row: int) -> frozenset[int]:
        """Return one text's words."""
        return frozenset(self.hashes[self.offsets[row] : self.offsets[row + 1]].tolist())

    def names(self) -> np.ndarray:
        """Return a number per text (N,) that equal sets share, and others do not but for one pair in 2^64."""
        with np.errstate(over="ignore"):
            mixed_W = (self.hashes ^ (self.hashes >> np.uint64(29))) * FACTOR
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed_W)])
            return np.diff(sums[self.offsets])


def joined(parts: Iterable[WordSets]) -> WordSets:
    """Put the texts of several batches into one."""
    held = list(parts)
    sizes = np.concatenate([np.zeros(0, np.int64), *(one.sizes for one in held)])
    return WordSets(np.concatenate([np.zeros(0, np.uint64), *(one.hashes for one in held)]), _offsets(sizes))


def hashes_of(texts: Iterable[str]) -> np.ndarray:
    """Return a 64-bit number per text, the same in every process."""
    return np.fromiter(map(_hash, texts), dtype=np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class _Hashes(dict[str, int]):
    """The numbers of one batch's words: each distinct word is hashed once."""

    def __missing__(self, word: str) -> int:
        number = self[word] = _hash(word)
        return number


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _distinct(hashes_W: np.ndarray, lengths_N: np.ndarray) -> WordSets:
    """Sort each text's words and drop repeated ones; texts of one length are one matrix, which sorts them together."""
    offsets = _offsets(lengths_N)
    is_new_W = np.ones(len(hashes_W), dtype=bool)
    for length in np.unique(lengths_N[lengths_N > 1]).tolist():
        at = offsets[:-1][lengths_N == length][:, None] + np.arange(length)
        rows = np.sort(hashes_W[at], axis=1)
        hashes_W[at] = rows
        is_new_W[at[:, 1:]] = rows[:, 1:] != rows[:, :-1]
    return WordSets(hashes_W[is_new_W], _offsets(is_new_W)[offsets])
