"""A number for each of many words, computed on all of them at once.

In: texts that are cut into words. Out: a 64-bit number per word, the same in every process and on every machine. Must
not know what the numbers are for.

Not for secrets: whoever wants two words with one number can find them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from sharpen.plugins import part

_STEP = 8  # bytes that are mixed in at a time
_LONGEST = 8 * _STEP  # chosen: bytes up to which words are hashed together; longer ones are few, and hashed alone
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(_STEP + 1)], dtype=np.uint64)
# Source: Stafford's variant 13 of the finalizer of Steele, Lea & Flood 2014, Fast Splittable Pseudorandom Number
# Generators, section 4: a bijection in which each bit of the input moves half of the output's.
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def word_hashes(texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return a number per word of all texts (W,) uint64, and where each text begins (N + 1,) int64."""
    pa = part("pyarrow")
    kind = pa.large_list(pa.large_string())
    try:
        column = pa.array(texts, type=kind)
    except UnicodeEncodeError:  # half a character is no UTF-8; written out it is
        whole = [[word.encode("utf-8", "backslashreplace").decode() for word in text] for text in texts]
        column = pa.array(whole, type=kind)
    words = column.values
    _, offsets, content = words.buffers()
    offsets_W = np.frombuffer(offsets, dtype=np.int64)[: len(words) + 1] if len(words) else np.zeros(1, np.int64)
    bytes_B = np.frombuffer(content, dtype=np.uint8) if content else np.zeros(0, np.uint8)
    return _hashed(bytes_B, offsets_W), column.offsets.to_numpy()


def _hashed(bytes_B: np.ndarray, offsets_W: np.ndarray) -> np.ndarray:
    """Hash bytes_B[offsets_W[i]:offsets_W[i + 1]] for each i: eight bytes at a time, all words together."""
    starts_W, lengths_W = offsets_W[:-1], np.diff(offsets_W)
    padded = np.append(bytes_B, np.zeros(_STEP, np.uint8))
    eights: np.ndarray = np.ndarray((len(padded) - _STEP + 1,), dtype="<u8", buffer=padded, strides=(1,))  # overlapping
    hashes_W = mixed(eights[starts_W] & _MASKS[np.minimum(lengths_W, _STEP)] ^ lengths_W.astype(np.uint64) << 56)
    for at in range(_STEP, _LONGEST, _STEP):
        rows = np.flatnonzero(lengths_W > at)
        if not len(rows):
            return hashes_W
        more = eights[starts_W[rows] + at] & _MASKS[np.minimum(lengths_W[rows] - at, _STEP)]
        hashes_W[rows] = mixed(hashes_W[rows] ^ more)
    for row in np.flatnonzero(lengths_W > _LONGEST).tolist():
        word = bytes_B[offsets_W[row] : offsets_W[row + 1]].tobytes()
        hashes_W[row] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    return hashes_W


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return 64-bit numbers in which every bit depends on every bit of the given ones."""
    with np.errstate(over="ignore"):
        out: np.ndarray = numbers ^ (numbers >> 30)
        out *= _FIRST
        out ^= out >> 27
        out *= _SECOND
        out ^= out >> 31
    return out
