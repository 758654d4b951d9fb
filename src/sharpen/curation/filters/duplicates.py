"""Questions that say the same thing twice, found in a million without comparing each with each.

In: candidates, as keys that a worker makes of each batch. Out: which of them repeat a stronger or earlier one. Must not
know where the candidates came from, beyond their strength.

Likeness is the Jaccard index of the word sets of two prompts' last user messages: the system prompt is shared by all
and would make everything alike. Equal words are found by their hash, alike ones by a MinHash index and then
compared exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sharpen.curation.candidate import Candidate, asked, context
from sharpen.curation.filters.alike import repeats
from sharpen.curation.filters.wordhash import word_hashes
from sharpen.curation.filters.wordsets import WordSets, hashed, joined
from sharpen.memory.words import words


class Keys(NamedTuple):
    """What duplicates are found by: per candidate, what it says word by word, and which words those are."""

    said: np.ndarray  # (N,) uint64: equal where group and words in their order are
    words: WordSets  # of unlike groups, no two words are equal

    @classmethod
    def of(cls, batch: Sequence[Candidate]) -> Keys:
        """Hash a batch; this is the part that workers share.

        Only candidates of one context are compared; answers to unlearn that stand alone are compared among themselves,
        and do not push out an answer to learn.
        """
        texts = [words(asked(one.prompt)) for one in batch]
        return cls.of_words(texts, [f"{one.chosen is None}{context(one.prompt)}" for one in batch])

    @classmethod
    def of_words(cls, texts: Sequence[Sequence[str]], groups: Sequence[str]) -> Keys:
        """Hash questions that are cut into words; only those of one group are compared."""
        number = {group: at for at, group in enumerate(dict.fromkeys(groups))}
        salts = word_hashes([[*number]])[0][
            np.fromiter(map(number.__getitem__, groups), dtype=np.int64, count=len(groups))
        ]
        return cls(*hashed(texts, salts))

    @classmethod
    def joined(cls, parts: Sequence[Keys]) -> Keys:
        """Put the keys of several batches into one."""
        return cls(np.concatenate([one.said for one in parts]), joined(one.words for one in parts))


def repeated(keys: Keys, order: Sequence[int] | np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return per candidate (N,) the one that it repeats, or -1: by equal words, and by a likeness of `threshold`, 0-1.

    `order` lists the candidates, the strongest first: of alike ones the first stays.
    """
    order_N = np.asarray(order, dtype=np.int64)
    same_N, alike_N = np.full(len(order_N), -1, dtype=np.int64), np.full(len(order_N), -1, dtype=np.int64)
    if not len(order_N):
        return same_N, alike_N
    _, first, inverse = np.unique(keys.said[order_N], return_index=True, return_inverse=True)
    firsts_N = order_N[first[inverse]]
    is_repeat = firsts_N != order_N
    same_N[order_N[is_repeat]] = firsts_N[is_repeat]
    left_M = order_N[~is_repeat]
    for own, twin in repeats(keys.words.take(left_M), threshold):
        alike_N[left_M[own]] = left_M[twin]
    return same_N, alike_N
