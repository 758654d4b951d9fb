"""Held-out cases, indexed so that a million prompts can be compared with them.

In: what the cases say. Out: whether a text is like one of them, or shares a run of words with one. Must not know what
is done with a text that is.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from sharpen.memory.words import jaccard, words
from sharpen.verify.contamination import RUN_WORDS, SHORTEST_RUN, TEMPLATE_CASES


class HeldOut:
    """Two indexes over the cases: of their questions' words, and of the runs of words in all that was said."""

    def __init__(self, cases: Sequence[tuple[str, str]]) -> None:
        self._cases = list(dict.fromkeys(frozenset(words(question)) for question, _ in cases))
        self._occurs = Counter(word for case in self._cases for word in case)
        self._index: defaultdict[str, list[int]] = defaultdict(list)
        for i, case in enumerate(self._cases):
            for word in case:
                self._index[word].append(i)
        said = list(dict.fromkeys(tuple(words(text)) for _, text in cases))
        runs = Counter(run for text in said for run in _runs(text))
        kept = [run for run, count in runs.items() if count <= TEMPLATE_CASES]
        # A run is looked up by its rarest word first: most texts hold none of these, and are done.
        seen = Counter(word for text in said for word in text)
        self._runs: defaultdict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
        for run in kept:
            rarest = min(range(len(run)), key=lambda at: (seen[run[at]], run[at]))
            self._runs[run[rarest]].append((rarest, run))
        self._rarest = frozenset(self._runs)

    def is_like(self, text: Sequence[str], threshold: float) -> bool:
        """Tell whether a text's distinct words are like a case's question by at least `threshold`, 0-1.

        Exact: a text of n words that is alike by t shares at least t·n of them, so one of any n - t·n + 1 of its words
        must occur in the case. The rarest are looked up.
        Source: Chaudhuri, Ganti & Kaushik 2006, A Primitive Operator for Similarity Joins (the prefix filter).
        """
        if not self._cases:
            return False
        own = frozenset(text)
        shared = math.ceil(threshold * len(own) - 1e-9)  # less a hair: rounding may only make the search wider
        known = self._occurs.keys() & own
        left = len(own) - shared + 1 - (len(own) - len(known))  # words that no case has are the rarest of all
        if left <= 0:
            return False
        prefix = sorted(known, key=lambda word: (self._occurs[word], word))[:left]
        candidates = {i for word in prefix for i in self._index[word]}
        return any(jaccard(own, self._cases[i]) >= threshold for i in candidates)

    def shares_run(self, text: Sequence[str]) -> str | None:
        """Return the first run of 13 words that a case has too (of a shorter case, all of it), or None.

        Runs that many cases share are the template's words, not a question's.
        """
        if self._rarest.isdisjoint(text):
            return None
        for at, word in enumerate(text):
            for offset, run in self._runs.get(word, ()):
                start = at - offset
                if start >= 0 and text[start] == run[0] and tuple(text[start : start + len(run)]) == run:
                    return " ".join(run)
        return None


def _runs(text: Sequence[str]) -> set[tuple[str, ...]]:
    length = min(RUN_WORDS, max(SHORTEST_RUN, len(text)))
    return {tuple(text[at : at + length]) for at in range(len(text) - length + 1)}
