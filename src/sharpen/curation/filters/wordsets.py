"""Many texts as sets of numbers, in two arrays: a million of them are compared without a million Python sets.

In: texts that are cut into words. Out: per text its distinct words, as 64-bit numbers. Must not know what is compared,
or why.

The numbers are the same in every process, so that what workers made can be put together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from sharpen.plugins import part

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: spreads bits. Source: Knuth, TAOCP 3, 6.4
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFF_FFFF)
_AT_ONCE = 4_096  # chosen: texts whose words are worked on together; of 60 words each, they stay in the cache


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

    A word is another number under another salt (N,), so that texts of unlike salts share no words.
    """
    lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    codes_W, hashes_V = _coded(list(chain.from_iterable(texts)))
    offsets = _offsets(lengths_N)
    parts, said = [], [np.zeros(0, np.uint64)]
    for start in range(0, len(texts), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        codes = codes_W[offsets[start] : offsets[min(start + _AT_ONCE, len(texts))]]
        part_said, part_words = _sets(codes, hashes_V, lengths_N[some], salts[some])
        said.append(part_said)
        parts.append(part_words)
    return np.concatenate(said), joined(parts)


def _sets(
    codes_W: np.ndarray, hashes_V: np.ndarray, lengths_N: np.ndarray, salts_N: np.ndarray
) -> tuple[np.ndarray, WordSets]:
    offsets = _offsets(lengths_N)
    text_W = np.repeat(np.arange(len(lengths_N), dtype=np.uint64), lengths_N)
    place_W = np.arange(len(codes_W), dtype=np.uint64) - offsets.astype(np.uint64)[text_W]
    with np.errstate(over="ignore"):
        said_N = _sums(hashes_V[codes_W] + place_W * FACTOR, offsets) ^ (salts_N * FACTOR)
    # Text and word fit into one number, so that one sort brings a text's equal words together.
    both_W = np.sort((text_W << _HALF) | codes_W.astype(np.uint64))
    both_W = both_W[np.append(True, both_W[1:] != both_W[:-1])[: len(both_W)]]
    text_W = both_W >> _HALF
    hashes_W = hashes_V[both_W & _LOW] ^ salts_N[text_W]
    return said_N, WordSets(hashes_W, np.searchsorted(text_W, np.arange(len(lengths_N) + 1, dtype=np.uint64)))


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


def _coded(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return each word's place (W,) among the distinct ones, and their numbers (V,): each is hashed once."""
    pa = part("pyarrow")
    try:
        column = pa.array(words, type=pa.large_string())
    except UnicodeEncodeError:  # half a character is no UTF-8; written out it is
        column = pa.array([word.encode("utf-8", "backslashreplace") for word in words]).cast(pa.large_string())
    coded = column.dictionary_encode()
    return coded.indices.to_numpy(), hashes_of(coded.dictionary.to_pylist())


def _sums(hashes_W: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        mixed_W = (hashes_W ^ (hashes_W >> np.uint64(29))) * FACTOR
        mixed_W ^= mixed_W >> np.uint64(32)
        return np.diff(np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed_W)])[offsets])


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
