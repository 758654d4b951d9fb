"""How well a judge agrees with the truth, whether something shifts its values, and whether it has changed.

In: arrays. Out: numbers with intervals and p-values. Must not know judges, prompts or thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and the one-sided p-value of there being nothing (1 where that is not asked)."""

    value: float
    low: float
    high: float
    n: int
    p_value: float = 1.0


def cohen_kappa(judged: Sequence[bool], truth: Sequence[bool], level: float = 0.95) -> Estimate:
    """Return Cohen's kappa of two yes/no ratings of the same items, -1 to 1, and its large-sample interval.

    Where all items are alike on both sides, kappa is undefined and 0 is returned: nothing was shown.
    Source: Cohen 1960, equation 1; Fleiss, Cohen & Everitt 1969, equation 13 (the standard error).

    >>> round(cohen_kappa([True] * 45 + [False] * 55, [True] * 40 + [False] * 60).value, 3)
    0.898
    """
    n = len(truth)
    if n != len(judged) or n == 0:
        return Estimate(0.0, -1.0, 1.0, 0)
    table = np.zeros((2, 2))
    for mine, yours in zip(judged, truth, strict=True):
        table[int(mine), int(yours)] += 1
    table /= n
    rows, columns = table.sum(1), table.sum(0)
    seen, chance = float(np.trace(table)), float(rows @ columns)
    if chance >= 1:
        return Estimate(0.0, -1.0, 1.0, n)
    kappa = (seen - chance) / (1 - chance)
    kept = sum(table[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(2))
    crossed = (1 - kappa) ** 2 * sum(
        table[i, j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j
    )
    variance = kept + crossed - (kappa - chance * (1 - kappa)) ** 2
    # chosen: never narrower than with three errors among n, so that perfect agreement keeps an interval too
    spread = math.sqrt(max(float(variance), 3 / n) / n) / (1 - chance)
    width = float(stats.norm.ppf(0.5 + level / 2)) * spread
    return Estimate(kappa, max(-1.0, kappa - width), min(1.0, kappa + width), n)


def share(hits: int, n: int, level: float = 0.95) -> Estimate:
    """Return a share with its exact interval. Source: Clopper & Pearson 1934.

    >>> round(share(95, 100).low, 3)
    0.887
    """
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0)
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Estimate(hits / n, low, high, n)


def shift(differences: Sequence[float], *, two_sided: bool = False, level: float = 0.95) -> Estimate:
    """Return the mean of paired differences, its t interval, and the p-value of a mean that is not above 0.

    `two_sided` gives the p-value of a mean that is 0. Source: Student 1908.
    """
    array = np.asarray(differences, dtype=np.float64)
    n = len(array)
    if n < 2:
        return Estimate(float(array.mean()) if n else 0.0, -1.0, 1.0, n)
    mean, error = float(array.mean()), float(array.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        above = mean != 0 if two_sided else mean > 0
        return Estimate(mean, mean, mean, n, 0.0 if above else 1.0)
    width = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    tail = float(stats.t.sf(mean / error, n - 1))
    return Estimate(mean, mean - width, mean + width, n, 2 * min(tail, 1 - tail) if two_sided else tail)


def drift(
    before: float, correct: Sequence[bool], *, drop: float = 0.1, alpha: float = 0.05, seed: int = 0
) -> int | None:
    """Return the first item at which a judge has become worse than `before`, a share; None if nowhere.

    A CUSUM of the log-likelihood ratio for a drop, over golden items in the order in which they were judged. The limit
    is simulated, so that a judge that did not change is accused in at most `alpha` of such runs.
    Source: Page 1954, Continuous inspection schemes; Lorden 1971 (the likelihood-ratio form).
    """
    good = min(max(before, 0.05), 0.99)  # chosen: a judge without a single error may still make its first
    bad = max(good - drop, 0.01)
    gains = np.array([math.log((1 - bad) / (1 - good)), math.log(bad / good)])  # by wrong, right
    draws = np.random.default_rng(seed).random((2000, len(correct))) < good
    limit = float(np.quantile(_peaks(gains[draws.astype(int)]), 1 - alpha, method="higher")) if len(correct) else 0.0
    level = 0.0
    for place, right in enumerate(correct):
        level = max(0.0, level + float(gains[int(right)]))
        if level > limit:
            return place
    return None


def _peaks(steps: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    level = np.zeros(len(steps))
    highest = np.zeros(len(steps))
    for step in steps.T:
        level = np.maximum(0.0, level + step)
        highest = np.maximum(highest, level)
    return highest
