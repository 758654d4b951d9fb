"""Signs that a model eats its own words, or has learned to please its judge: a page of numbers per cycle.

In: replies, vectors, log-probabilities, examples. Out: `Vital`, each with its limits. Must not know engines, the store,
or what a promotion is: the page warns, the gate decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import Refused
from sharpen.memory.words import words
from sharpen.records import Example, Score
from sharpen.verify.contamination import Contamination

State = Literal["ok", "warn", "block", "unmeasured"]

# chosen, engineering defaults: a loss of 8 % of diversity is visible in samples, of 15 % in conversation.
DIVERSITY_WARN, DIVERSITY_BLOCK = 0.92, 0.85
LENGTH_WARN, LENGTH_BLOCK = 1.15, 1.30  # chosen: judges reward length long before readers notice 15 %
# chosen: around 1/phi = 0.618, the optimal weight of fresh data in He, Xu & Cheng 2025, arXiv:2502.18049
REAL_WARN, REAL_BLOCK = 0.60, 0.30
KL_WARN, KL_BLOCK = 0.25, 0.50  # chosen: nats per token over the whole life; half of it warns
GAP_ERRORS = 2.0  # chosen: about 2.5 % false alarms, one-sided
MOST_REPLIES = 2000  # chosen: the Vendi score decomposes a matrix of this size in a second


@dataclass(frozen=True)
class Vital:
    """One number of the page: a ratio, a share or a difference, what it is held against, and what it says."""

    name: str
    value: float | None
    warn: float
    block: float
    state: State
    note: str = ""


def distinct_n(texts: Iterable[str], n: int = 2) -> float:
    """Return distinct n-grams per n-gram, 0-1. It falls with the amount of text: compare equal amounts only.

    Source: Li et al. 2016, A Diversity-Promoting Objective Function, arXiv:1510.03055, section 5.3.

    >>> distinct_n(["a b c", "a b d"])
    0.75
    """
    grams = [tuple(text[at : at + n]) for text in map(words, texts) for at in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def vendi(vectors: ArrayLike) -> float:
    """Return the effective number of different rows, 1 to n: exp of the entropy of the eigenvalues of K/n.

    K is the cosine similarity of the rows. Raises: Refused when a row is zero or not finite.
    Source: Friedman & Dieng 2023, The Vendi Score, arXiv:2210.02410, definition 3.1.

    >>> round(vendi([[1, 0], [0, 1], [1, 0], [0, 1]]), 6)
    2.0
    """
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    if rows.size == 0 or rows.ndim != 2 or not np.isfinite(rows).all() or (lengths == 0).any():
        raise Refused("The Vendi score needs finite vectors, none of them zero.")
    unit = rows / lengths
    # X Xᵀ and Xᵀ X have the same eigenvalues but for zeros: take the smaller one.
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    shares = np.linalg.eigvalsh(gram) / len(unit)
    shares = shares[shares > 1e-12]
    return math.exp(-float(shares @ np.log(shares)))


def word_vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return one row of word counts per text, for a Vendi score without an embedding model."""
    found = [words(text) for text in texts]
    places = {word: place for place, word in enumerate(sorted({word for text in found for word in text}))}
    rows = np.zeros((len(texts), len(places)))
    for row, text in zip(rows, found, strict=True):
        for word in text:
            row[places[word]] += 1
    return rows


def kl_per_token(now: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return KL(now ‖ first) in nats per token, and its standard error over replies.

    `now` and `first` are the log-probabilities that both versions give to each token of replies that *now* sampled, at
    temperature 1: the mean of their difference estimates KL without bias.
    Source: Schulman 2020, Approximating KL Divergence (the estimator k1). Raises: Refused on other lengths, or NaN.
    """
    sums, sizes = [], []
    for mine, yours in zip(now, first, strict=True):
        if len(mine) != len(yours) or not np.isfinite([*mine, *yours]).all():
            raise Refused("KL needs the finite log-probabilities of the same tokens under both versions.")
        sums.append(math.fsum(mine) - math.fsum(yours))
        sizes.append(len(mine))
    total = sum(sizes)
    if total == 0:
        raise Refused("There are no tokens to measure KL on.")
    kl = math.fsum(sums) / total
    residuals = [one - kl * size for one, size in zip(sums, sizes, strict=True)]  # of a ratio of means
    return kl, math.sqrt(math.fsum(one * one for one in residuals)) / total


def real_share(examples: Sequence[Example]) -> float:
    """Return the share of training weight whose answer a person wrote, 0-1."""
    total = math.fsum(example.weight for example in examples)
    real = math.fsum(example.weight for example in examples if example.origin == "correction")
    return real / total if total else 0.0


def judge_gap(trained: Sequence[float], held_out: Sequence[float]) -> tuple[float, float]:
    """Return how much more the judge that training used gained than one that it did not, and the standard error.

    Both are the differences, challenger minus champion, on the same cases: what only the first judge sees was learned
    for it. Source: Gao, Schulman & Hilton 2023, Scaling Laws for Reward Model Overoptimization, arXiv:2210.10760.
    """
    gaps = np.asarray(trained, dtype=np.float64) - np.asarray(held_out, dtype=np.float64)
    if len(gaps) < 2 or not np.isfinite(gaps).all():
        raise Refused("The gap between judges needs two cases or more, scored by both.")
    return float(gaps.mean()), float(gaps.std(ddof=1)) / math.sqrt(len(gaps))


def page(
    first: Sequence[Score],
    now: Sequence[Score],
    examples: Sequence[Example],
    *,
    contaminated: Sequence[Contamination] = (),
    kl: tuple[float, float] | None = None,
    gap: tuple[float, float] | None = None,
) -> list[Vital]:
    """Return a cycle's page from the first version's Scores, the challenger's on the same cases, and what it learned.

    Only cases that both answered are compared, so that both sides have equal amounts of text. KL and the gap between
    judges need log-probabilities and a second judge; without them the page says that they are not measured.
    """
    ours = {score.case_id: score.reply for score in now if score.reply}
    pairs = [(score.reply, ours[score.case_id]) for score in first if score.reply and score.case_id in ours]
    before, after = [one for one, _ in pairs][:MOST_REPLIES], [two for _, two in pairs][:MOST_REPLIES]
    caught = sum(len(one.case_ids) for one in contaminated)
    return [
        *_diversity(before, after),
        _length(before, after),
        _at_least("real-data share", real_share(examples) if examples else None, REAL_WARN, REAL_BLOCK),
        _at_most("KL to the first version", kl[0] if kl else None, KL_WARN, KL_BLOCK),
        _gap(gap),
        _at_most("contaminated cases", float(caught) if contaminated else None, 0.0, 0.0),
    ]


def _diversity(before: Sequence[str], after: Sequence[str]) -> list[Vital]:
    """Compare diversity with the first version's: 1 is as diverse as at the start."""
    measures: dict[str, Callable[[Sequence[str]], float]] = {
        "distinct-2": distinct_n,
        "Vendi": lambda texts: vendi(word_vectors(texts)),
    }
    vitals = []
    for name, measure in measures.items():
        was = measure(before) if before else 0.0
        ratio = measure(after) / was if was else None
        vitals.append(_at_least(f"{name}, now to first", ratio, DIVERSITY_WARN, DIVERSITY_BLOCK))
    return vitals


def _length(before: Sequence[str], after: Sequence[str]) -> Vital:
    was, now = (sum(len(words(text)) for text in texts) for texts in (before, after))
    ratio = now / was if was else None
    # Replies that shrink are as suspect as those that grow: the larger of both ratios is held against the limits.
    held = max(ratio, 1 / ratio) if ratio else ratio
    state = _at_most("", held, LENGTH_WARN, LENGTH_BLOCK).state
    return Vital("length, now to first", ratio, LENGTH_WARN, LENGTH_BLOCK, state)


def _gap(gap: tuple[float, float] | None) -> Vital:
    name = "trained judge's gain minus held-out judge's"
    if gap is None:
        return Vital(name, None, 0.0, 0.0, "unmeasured")
    value, error = gap
    limit = GAP_ERRORS * error
    return Vital(name, value, limit, limit, "block" if value > limit and value > 0 else "ok", "limit: two errors")


def _at_least(name: str, value: float | None, warn: float, block: float) -> Vital:
    if value is None or not math.isfinite(value):
        return Vital(name, None, warn, block, "unmeasured")
    return Vital(name, value, warn, block, "block" if value < block else "warn" if value < warn else "ok")


def _at_most(name: str, value: float | None, warn: float, block: float) -> Vital:
    if value is None or not math.isfinite(value):
        return Vital(name, None, warn, block, "unmeasured")
    return Vital(name, value, warn, block, "block" if value > block else "warn" if value > warn else "ok")
