"""Near-duplicate removal against datasketch: the same bands, the same exact check, the same order.

In: nothing. Out: processor seconds of both, each in one thread, their ratio, and the likeness of what they keep; and
how what we keep differs from comparing each with each on a sample. Must not know who reads them.

datasketch is the library that most pipelines use for this. It gets the same 128 permutations, bands and exact
verification as we do, and both begin with the same words, so that only the way there differs: its signatures and its
index are Python objects per text. The ratio is the median of the rounds'.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from sharpen.benchmarks import machine
from sharpen.curation.filters.alike import PERMUTATIONS, rows_per_band
from sharpen.curation.filters.duplicates import Keys, repeated
from sharpen.memory.words import jaccard, words
from sharpen.plugins import part

TEXTS, THRESHOLD, SAMPLE = 20_000, 0.85, 2_000
PROMISE, PROMISE_JACCARD = 20.0, 0.999
_ROUNDS = 5


def measure(texts: int = TEXTS, sample: int = SAMPLE, seed: int = 0, rounds: int = _ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra."""
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # the peer has one thread too
    said = corpus(texts, seed)
    started = time.process_time()
    cut = [words(text) for text in said]
    cut_s = time.process_time() - started
    ours(cut[:100])  # both have been warm once before the clock starts
    theirs(cut[:100])
    ours_s, theirs_s, kept, peer_kept = [], [], set[int](), set[int]()
    for _ in range(rounds):
        gc.collect()
        gc.disable()  # as `timeit` does: when the collector runs, and what it finds, is nobody's doing here
        try:
            started = time.process_time()
            kept = ours(cut)
            between = time.process_time()
            peer_kept = theirs(cut)
            ended = time.process_time()
        finally:
            gc.enable()
        ours_s.append(between - started)
        theirs_s.append(ended - between)
    exact, found = exactly(cut[:sample]), ours(cut[:sample])
    own, peer = np.array(ours_s), np.array(theirs_s)
    return {
        "benchmark": "dedup",
        "texts": texts,
        "threshold": THRESHOLD,
        "ratio": round(float(np.median(peer / own)), 1),
        "promised_ratio": PROMISE,
        "ratio_with_cutting_into_words": round(float(np.median((peer + cut_s) / (own + cut_s))), 1),
        "jaccard": round(_alike(kept, peer_kept), 5),
        "promised_jaccard": PROMISE_JACCARD,
        "kept": len(kept),
        "exact_sample": sample,
        "jaccard_with_exact": round(_alike(exact, found), 5),
        "seconds": [round(one, 3) for one in ours_s],
        "datasketch_seconds": [round(one, 3) for one in theirs_s],
        "machine": machine("rensa", "datasketch", "numpy"),
    }


def corpus(texts: int, seed: int) -> list[str]:
    """Return questions of about 60 words, a fifth of which repeat an earlier one but for up to six words."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    vocabulary = [f"w{i:x}" for i in range(20_000)]
    said: list[list[str]] = []
    for _ in range(texts):
        if said and chance.random() < 0.2:
            copy = list(chance.choice(said))
            for _ in range(chance.randrange(7)):
                copy[chance.randrange(len(copy))] = chance.choice(vocabulary)
        else:
            copy = chance.choices(vocabulary, k=60)
        said.append(copy)
    return [" ".join(one) for one in said]


def ours(texts: Sequence[Sequence[str]]) -> set[int]:
    """Return the positions that we keep."""
    keys = Keys.of_words(texts, [""] * len(texts))
    same, alike = repeated(keys, range(len(texts)), THRESHOLD)
    return set(np.flatnonzero((same < 0) & (alike < 0)).tolist())


def theirs(texts: Sequence[Sequence[str]]) -> set[int]:
    """Return the positions that a loop over datasketch keeps."""
    library: Any = part("datasketch")
    size = rows_per_band(THRESHOLD)
    index = library.MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS // size, size))
    kept: dict[int, frozenset[str]] = {}
    for i, text in enumerate(texts):
        own = frozenset(text)
        sketch = library.MinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch([word.encode() for word in own])
        if any(jaccard(own, kept[other]) >= THRESHOLD for other in index.query(sketch)):
            continue
        kept[i] = own
        index.insert(i, sketch)
    return set(kept)


def exactly(texts: Sequence[Sequence[str]]) -> set[int]:
    """Return the positions that comparing each with each keeps."""
    kept: dict[int, frozenset[str]] = {}
    for i, text in enumerate(texts):
        own = frozenset(text)
        if all(jaccard(own, other) < THRESHOLD for other in kept.values()):
            kept[i] = own
    return set(kept)


def _alike(left: set[int], right: set[int]) -> float:
    return len(left & right) / len(left | right)
