"""Signs that a model eats its own words, has learned to please its judge, or has seen what it is asked.

In: replies, vectors, log-probabilities, examples. Out: `Vital`, each with its limits. Must not know engines, the store,
or what follows from a sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import Refused
from sharpen.memory.words import words
from sharpen.records import Example, Sign, Vital
from sharpen.verify.contamination import Contamination

State = Literal["ok", "warn", "alarm", "unmeasured"]

# chosen, engineering defaults: a loss of 8 % of diversity is visible in samples, of 15 % in conversation.
DIVERSITY_WARN, DIVERSITY_ALARM = 0.92, 0.85
LENGTH_WARN, LENGTH_ALARM = 1.15, 1.30  # chosen: judges reward length long before readers notice 15 %
# chosen: around 1/phi = 0.618, the optimal weight of fresh data in He, Xu & Cheng 2025, arXiv:2502.18049
REAL_WARN, REAL_ALARM = 0.60, 0.30
KL_WARN, KL_ALARM = 0.25, 0.50  # chosen: nats per token over the whole life; half of it warns
GAP_ERRORS = 2.0  # chosen: about 2.5 % false alarms, one-sided
MOST_REPLIES = 2000  # chosen: the Vendi score decomposes a matrix of this size in a second


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


def kl_per_token(now: Sequence[float], first: Sequence[float], tokens: Sequence[int]) -> tuple[float, float]:
    """Return KL(now ‖ first) in nats per token, and its standard error over replies.

    `now` and `first` are the log-probabilities that both versions give to whole replies that *now* sampled at
    temperature 1, `tokens` their lengths: the mean of the difference estimates KL without bias.
    Source: Schulman 2020, Approximating KL Divergence (the estimator k1). Raises: Refused on NaN, or without tokens.
    """
    sums = np.asarray(now, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    sizes = np.asarray(tokens, dtype=np.float64)
    if sizes.size == 0 or not np.isfinite(sums).all() or sizes.min() < 1:
        raise Refused("KL needs finite log-probabilities of replies that have tokens.")
    kl = float(sums.sum() / sizes.sum())
    return kl, float(np.sqrt(((sums - kl * sizes) ** 2).sum()) / sizes.sum())  # of a ratio of means


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


def diversity(first: Sequence[str], now: Sequence[str], references: Sequence[str] = ()) -> list[Vital]:
    """Compare how different the replies are with the first version's, all on the same cases.

    Where the right answers are known and less different than those, as labels are, they are what is compared with.
    """
    first, now, references = first[:MOST_REPLIES], now[:MOST_REPLIES], references[:MOST_REPLIES]
    measures: dict[str, Callable[[Sequence[str]], float]] = {
        f"distinct-{n}": partial(distinct_n, n=n) for n in (1, 2, 3)
    }
    measures["Vendi"] = lambda texts: vendi(word_vectors(texts))
    vitals = []
    for name, measure in measures.items():
        wanted = [found for texts in (first, references) if texts and (found := measure(texts))]
        is_known = bool(now) and measure(now) > 0 and bool(wanted)
        ratio = measure(now) / min(wanted) if is_known else None
        note = f"on {len(now)} replies" if is_known else "the replies are too short or too few"
        vitals.append(
            _at_least("diversity", f"{name}, now to first", ratio, (DIVERSITY_WARN, DIVERSITY_ALARM), note)
        )  # fmt: skip
    return vitals


def length(first: Sequence[str], now: Sequence[str], references: Sequence[str] = ()) -> Vital:
    """Compare the replies' length with the first version's; lengths between that and the right answers' are healthy."""
    name, limits = "length, now to first", (LENGTH_WARN, LENGTH_ALARM)
    sizes = [sum(len(words(text)) for text in texts) for texts in (first, references) if texts]
    if not now or not sizes:
        return _at_most("length", name, None, limits, "there are no replies of both versions")
    mine = sum(len(words(text)) for text in now)
    beyond = max(mine / max(sizes), min(sizes) / mine, 1.0)  # replies that shrink are as suspect as those that grow
    found = _at_most("length", name, beyond, limits, f"on {len(now)} replies")
    return found.model_copy(update={"value": round(mine / sizes[0], 4)})


def real_data(examples: Sequence[Example]) -> Vital:
    """Hold the share of people's answers in the training weight against its limits."""
    share = real_share(examples) if examples else None
    return _at_least("real data", "real-data share", share, (REAL_WARN, REAL_ALARM), f"of {len(examples)} examples")


def drift(kl: tuple[float, float] | None, note: str = "") -> Vital:
    """Hold KL to the first version, and its standard error, against the budget of a life."""
    told = f"± {kl[1]:.3f}, {note}" if kl else note
    return _at_most("kl", "KL to the first version", kl[0] if kl else None, (KL_WARN, KL_ALARM), told)


def hacking(trained: Sequence[float], held_out: Sequence[float], note: str = "") -> Vital:
    """Hold the gain that only the judge of training sees against two errors; alarm where the other judge sees none."""
    name = "trained judge's gain minus held-out judge's"
    try:
        value, error = judge_gap(trained, held_out)
    except Refused as refusal:
        return Vital(
            sign="judge gap", name=name, value=None, warn=0.0, alarm=0.0, state="unmeasured", note=note or refusal.what
        )
    limit = GAP_ERRORS * error
    is_odd = value > limit and value > 0
    is_alone = float(np.mean(held_out)) <= 0
    state: State = "alarm" if is_odd and is_alone else "warn" if is_odd else "ok"
    return Vital(
        sign="judge gap", name=name, value=round(value, 4), warn=round(limit, 4), alarm=round(limit, 4), state=state,
        note=note,
    )  # fmt: skip


def leaks(found: Contamination) -> Vital:
    """Count a suite's held-out cases that training has seen: every one is too many."""
    note = f"of {found.cases}: {found.runs} share 13 words, {found.near_duplicates} are nearly an example"
    return _at_most("contamination", f"contaminated cases of {found.suite}", float(len(found.case_ids)), (0, 0), note)


def canaries(hits: int, texts: int) -> Vital:
    """Count the texts that hold a suite's canary: whoever wrote them has read a marked copy of the suite."""
    return _at_most("canaries", "texts with a suite's canary", float(hits), (0, 0), f"of {texts} looked at")


def _at_least(sign: Sign, name: str, value: float | None, limits: tuple[float, float], note: str = "") -> Vital:
    found = _at_most(sign, name, None if value is None else -value, (-limits[0], -limits[1]), note)
    return found.model_copy(update={"value": value and round(value, 4), "warn": limits[0], "alarm": limits[1]})


def _at_most(sign: Sign, name: str, value: float | None, limits: tuple[float, float], note: str = "") -> Vital:
    warn, alarm = limits
    state: State = "ok"
    if value is None or not math.isfinite(value):
        value, state = None, "unmeasured"
    elif value > warn:
        state = "alarm" if value > alarm else "warn"
    known = None if value is None else round(value, 4)  # digits that a repeated run keeps
    return Vital(sign=sign, name=name, value=known, warn=warn, alarm=alarm, state=state, note=note)
