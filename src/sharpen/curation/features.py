"""What can be measured of an example: how long and how clean its answer is, how the base finds it, what it is about.

In: examples, and the models that `[curation] features` needs. Out: numbers per example of a declared sample, and what
they cost. Must not know what is concluded from them.

The sample is the examples with the lowest content digests: as data grows, most of it stays, and what was measured of it
is in the cache.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sharpen.config import Config
from sharpen.curation.candidate import Candidate, asked, content_digest, turns
from sharpen.curation.feature_cache import FeatureCache
from sharpen.memory.vectors import embedder_of
from sharpen.memory.words import words
from sharpen.models.embeddings import Embedder
from sharpen.models.engine import Engine, Prompt
from sharpen.plugins import part
from sharpen.records import Message

log = logging.getLogger("sharpen.curation")

CLUSTERS, _FEWEST = 8, 40  # chosen: topics that a page has room for; five examples for each
_QUANTILES = (0.1, 0.5, 0.9)
_AT_ONCE = 32  # chosen: answers that the base reads together


class Base(NamedTuple):
    """The bare base as a reader: what identifies it, and the log-probabilities (nats) that it gives to answers."""

    key: str
    logprobs: Callable[[Sequence[Prompt], Sequence[Sequence[str]]], list[list[float]]]


class Features(NamedTuple):
    """Numbers per example of the sample: columns by name, and the place of each row in training."""

    places: list[int]
    columns: dict[str, list[float | None]]
    costs: dict[
        str, dict[str, float]
    ]  # per measure: rows measured now, rows from the cache, seconds per 1,000 measured

    def summary(self) -> dict[str, Any]:
        """Return quantiles per feature, and the size of each cluster: nothing of it depends on a clock."""
        told: dict[str, Any] = {"sample": len(self.places)}
        for name, column in self.columns.items():
            known = [value for value in column if value is not None]
            if name == "cluster":
                told[name] = {str(int(label)): known.count(label) for label in sorted(set(known))}
            elif known:
                cuts = np.quantile(np.array(known), _QUANTILES).tolist()
                told[name] = {f"p{share:.0%}"[:-1]: round(cut, 4) for share, cut in zip(_QUANTILES, cuts, strict=True)}
        return told


def measure(
    rows: Sequence[Candidate],
    wanted: Sequence[str],
    sample: int,
    cache: FeatureCache,
    *,
    embedding: Callable[[], Embedder] | None = None,
    base: Callable[[], Base] | None = None,
) -> Features:
    """Measure up to `sample` rows, given in training order; models are opened only where a feature asks for them.

    Features: length (words of the answer), quality (0-1, see `quality`), perplexity (of the answer under the base, per
    word), cluster (of the question, by k-means on embeddings). Raises: what the models raise.
    """
    digests = [content_digest(one) for one in rows]
    places = sorted(sorted(range(len(rows)), key=lambda place: (digests[place], place))[:sample])
    drawn, names = [rows[place] for place in places], [digests[place] for place in places]
    columns: dict[str, list[float | None]] = {}
    costs: dict[str, dict[str, float]] = {}

    def known(name: str, key: str, compute: Callable[[list[Candidate]], Sequence[Any]], at_once: int) -> list[Any]:
        values = cache.get(key, names)
        missing = {digest: one for digest, one in zip(names, drawn, strict=True) if digest not in values}
        left, started = list(missing), time.perf_counter()
        for start in range(0, len(left), at_once):  # kept as they come: a killed run goes on from here
            some = left[start : start + at_once]
            found = compute([missing[digest] for digest in some])
            fresh = {digest: np.atleast_1d(np.asarray(one, float)) for digest, one in zip(some, found, strict=True)}
            cache.put(key, fresh)
            values |= fresh
        spent_s = time.perf_counter() - started
        each = spent_s / len(left) * 1000 if left else 0.0
        costs[name] = {"measured": len(left), "cached": len(names) - len(left), "seconds_per_1000": round(each, 3)}
        return [values[digest] for digest in names]

    if "length" in wanted:
        columns["length"] = _floats(known("length", "length/1", lambda some: [_length(one) for one in some], 10_000))
    if "quality" in wanted:
        columns["quality"] = _floats(known("quality", "quality/1", lambda some: [_clean(one) for one in some], 10_000))
    if "perplexity" in wanted and base is not None and drawn:
        reader = base()
        columns["perplexity"] = _floats(
            known("perplexity", f"perplexity/1/{reader.key}", lambda some: _perplexity(some, reader), _AT_ONCE)
        )
    if "cluster" in wanted and embedding is not None and len(drawn) >= _FEWEST:
        embedder = embedding()
        key = f"embedding/1/{embedder.key}"
        vectors = known(
            "cluster", key, lambda some: embedder.embed_documents([asked(one.prompt) for one in some]), 8 * _AT_ONCE
        )
        columns["cluster"] = _clusters(np.stack(vectors))
    cache.keep_only(names)
    return Features(places, columns, costs)


def described(config: Config, rows: Sequence[Candidate], *, bare: Callable[[], tuple[Engine, str]]) -> Features:
    """Measure what `[curation] features` names; `bare` gives the engine and the name of the base that it has loaded."""

    def base() -> Base:
        engine, version = bare()
        return Base(engine.base_digest, partial(engine.logprobs, version_id=version))

    settings, cache = config.curation, FeatureCache(config.home / "features.db")
    found = measure(
        rows, settings.features, settings.feature_sample, cache, embedding=lambda: embedder_of(config), base=base
    )
    for name, cost in found.costs.items():
        log.info("%s: %d measured, %d from the cache, %.3f s per 1,000", name, *cost.values())
    return found


def quality(text: str) -> float:
    """Return the share of simple signs of clean text that an answer shows, 0-1; it says nothing of its truth.

    Signs: words of 3 to 10 letters on average, under a tenth as many symbols as words, four fifths of the words with a
    letter or digit, under a third of the lines repeated, under a fifth of the word pairs the most frequent one. Source:
    Rae et al. 2021, Scaling Language Models: Gopher, arXiv:2112.11446, appendix A.1 (thresholds, where they apply to
    answers of a few words).
    """
    said = text.split()
    if not said:
        return 0.0
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    pairs = list(pairwise(said))
    most = max(Counter(pairs).values(), default=0) if len(pairs) >= 10 else 0
    signs = (
        len(said) < 10 or 3 <= sum(map(len, said)) / len(said) <= 10,
        len(re.findall(r"#|…|\.\.\.", text)) < max(1, 0.1 * len(said)),
        sum(any(map(str.isalnum, word)) for word in said) >= 0.8 * len(said),
        1 - len(set(lines)) / len(lines) < 0.3,
        most <= 0.2 * len(pairs) or most < 2,
    )
    return sum(signs) / len(signs)


def _floats(values: Sequence[np.ndarray]) -> list[float | None]:
    return [None if math.isnan(float(one[0])) else float(one[0]) for one in values]


def _length(one: Candidate) -> float:
    return float("nan") if one.chosen is None else float(len(words(one.chosen)))


def _clean(one: Candidate) -> float:
    return float("nan") if one.chosen is None else quality(one.chosen)


def _perplexity(some: Sequence[Candidate], base: Base) -> list[float]:
    """Return e to the nats per word of each answer: words, not tokens, so that bases can be compared."""
    prompts: list[Prompt] = [
        tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns(one.prompt))
        for one in some
    ]
    sums = base.logprobs(prompts, [[one.chosen] if one.chosen is not None else [] for one in some])
    return [
        math.exp(min(700.0, -told[0] / len(words(one.chosen)))) if one.chosen is not None else float("nan")
        for one, told in zip(some, sums, strict=True)
    ]


def _clusters(vectors_NE: np.ndarray) -> list[float | None]:
    """Return a cluster per row, the largest first; the same vectors give the same clusters."""
    model = part("sklearn.cluster").KMeans(n_clusters=min(CLUSTERS, len(vectors_NE) // 5), random_state=0, n_init=3)
    labels_N = model.fit_predict(vectors_NE)
    rank = np.empty(labels_N.max() + 1)
    rank[np.argsort(-np.bincount(labels_N), kind="stable")] = np.arange(len(rank))
    return [float(rank[label]) for label in labels_N]
