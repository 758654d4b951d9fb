"""Drop examples that say the same thing twice, or that the gate will be asked about.

In: examples, held-out cases and a threshold. Out: the examples that stay, in their order, and how many went. Must not
know where the examples came from, beyond their origin.

Likeness is the Jaccard index of the word sets of two prompts' last user messages: the system prompt is shared by all
and would make everything alike. Both filters first find candidates by an index, then compare exactly.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from sharpen.curation.mining.find import STRENGTH
from sharpen.memory.words import asked, jaccard, words
from sharpen.plugins import part
from sharpen.records import Case, Example, Message

_PERMUTATIONS = 128  # chosen: at the usual threshold of 0.85 it misses one pair in 2 million
_MISSES = 1e-6  # chosen: tolerated chance that the index misses a pair exactly at the threshold
_SEED = 1  # of the hash functions; fixed, so that equal examples are filtered equally


def near_duplicates(examples: Sequence[Example], threshold: float) -> tuple[list[Example], int]:
    """Keep one of each group of examples whose prompts are alike by at least `threshold`, 0-1.

    The stronger origin stays (`STRENGTH`), among equals the earlier example. Two prompts are only compared where the
    conversation before the last user message is the same: "yes" means what was asked before. Answers to unlearn that
    stand alone are compared among themselves: they do not push out an answer to learn.
    Candidates come from a MinHash index, which misses a pair at a threshold of 0.11 or more with a chance below
    one in a million.
    Source: Leskovec, Rajaraman & Ullman 2014, Mining of Massive Datasets, section 3.4 (banding).
    """
    if not examples:
        return [], 0
    rensa = part("rensa")
    texts = [frozenset(words(asked(example.messages))) for example in examples]
    sketches = rensa.RMinHash.from_token_sets([sorted(text) for text in texts], _PERMUTATIONS, _SEED)
    rows = _rows(threshold)
    kept: set[int] = set()
    bands: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for i in sorted(range(len(examples)), key=lambda i: (STRENGTH[examples[i].origin], i)):
        digest, context = sketches[i].digest(), (examples[i].chosen is None, *_context(examples[i].messages))
        keys = [(context, at, *digest[at : at + rows]) for at in range(0, _PERMUTATIONS - rows + 1, rows)]
        candidates = {j for key in keys for j in bands[key]}
        if any(jaccard(texts[i], texts[j]) >= threshold for j in candidates):
            continue
        kept.add(i)
        for key in keys:
            bands[key].append(i)
    return [example for i, example in enumerate(examples) if i in kept], len(examples) - len(kept)


def held_out_overlap(
    examples: Sequence[Example], held_out: Sequence[Case], threshold: float
) -> tuple[list[Example], int]:
    """Drop every example whose prompt is like that of a dev, gate or vault case by at least `threshold`, 0-1.

    Exact: a prompt of n words that is alike by t shares at least t·n of them, so one of any n - t·n + 1 of its words
    must occur in the case. The rarest are looked up.
    Source: Chaudhuri, Ganti & Kaushik 2006, A Primitive Operator for Similarity Joins (the prefix filter).
    """
    cases = list(dict.fromkeys(frozenset(words(asked(case.messages))) for case in held_out if case.tier != "train"))
    occurs = Counter(word for case in cases for word in case)
    index: defaultdict[str, list[int]] = defaultdict(list)
    for i, case in enumerate(cases):
        for word in case:
            index[word].append(i)

    def leaks(example: Example) -> bool:
        text = frozenset(words(asked(example.messages)))
        shared = math.ceil(threshold * len(text) - 1e-9)  # less a hair: rounding may only make the search wider
        prefix = sorted(text, key=lambda word: (occurs[word], word))[: len(text) - shared + 1]
        candidates = {i for word in prefix for i in index.get(word, ())}
        return any(jaccard(text, cases[i]) >= threshold for i in candidates)

    kept = [example for example in examples if not leaks(example)]
    return kept, len(examples) - len(kept)


def _rows(threshold: float) -> int:
    """Return the longest band, in rows, with which a pair at the threshold is still missed less often than _MISSES."""
    fits = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (_PERMUTATIONS // rows) <= _MISSES]
    return max(fits, default=1)


def _context(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return what was said before the last user message, without the system prompt."""
    last = max((i for i, message in enumerate(messages) if message.role == "user"), default=len(messages) - 1)
    return tuple(message for message in messages[:last] if message.role != "system")
