"""How sure we are of a share, a mean, or a difference of two shares on the same cases.

In: counts, or scores from 0 to 1 and their clusters. Out: `Interval`. Must not know what is decided on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from sharpen.errors import Refused
from sharpen.stats.clusters import Clusters, Floats, alone, bootstrap, in_range

_HALVINGS = 50  # chosen: [-1, 1] halved so often is exact to the last digits of a double


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean or a mean difference, and the interval it is known to."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a success share and its Wilson score interval.

    Raises: Refused when n is 0 or the counts make no sense. Source: Wilson 1927, JASA 22:209-212.

    >>> interval = wilson(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.49, 0.943)
    """
    if n < 1 or not 0 <= successes <= n:
        raise Refused(f"A share needs 0 <= successes <= n and n >= 1; got {successes} of {n}.")
    z = quantile(level)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(share, min(low, share), max(high, share), n, level)


def tango(won: int, lost: int, n: int, level: float = 0.95) -> Interval:
    """Return the difference of two shares on the same n cases, and Tango's score interval.

    `won` cases succeeded on the first side only, `lost` on the second only. Its one-sided end, used as a test of
    non-inferiority, never exceeded its level in any case that was enumerated (tests/stats).
    Raises: Refused when the counts make no sense. Source: Tango 1998, Stat. Med. 17:891-908, equations 7 and 13.

    >>> interval = tango(1, 7, 21)
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.517, -0.026)
    """
    _check_pairs(won, lost, n)
    z = quantile(level)
    difference = (won - lost) / n
    low = _root(lambda at: tango_z(won, lost, n, at) > z, -1.0, difference)
    high = _root(lambda at: tango_z(won, lost, n, at) > -z, difference, 1.0)
    return Interval(difference, min(low, difference), max(high, difference), n, level)


def tango_z(won: float, lost: float, n: float, difference: float) -> float:
    """Return Tango's score statistic of the hypothesis that the shares differ by `difference`; normal under it."""
    b = -won - lost + (2 * n - won + lost) * difference
    c = -lost * difference * (1 - difference)
    root = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # the lost share, most likely under the hypothesis
    variance = n * (2 * root + difference * (1 - difference))
    distance = won - lost - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def newcombe(both: int, won: int, lost: int, neither: int, level: float = 0.95) -> Interval:
    """Return the difference of two shares on the same cases, and Newcombe's square-and-add interval.

    Raises: Refused when the counts make no sense. Source: Newcombe 1998, Stat. Med. 17:2635-2650, method 10.

    >>> interval = newcombe(1, 1, 7, 12)
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.507, -0.026)
    """
    n = both + won + lost + neither
    _check_pairs(won, lost, n)
    first, second = wilson(both + won, n, level), wilson(both + lost, n, level)
    margins = (both + won) * (lost + neither) * (both + lost) * (won + neither)
    agreement = float(both * neither - won * lost)
    if agreement > 0:
        agreement = max(agreement - n / 2, 0.0)
    phi = agreement / math.sqrt(margins) if margins else 0.0
    below, above = first.value - first.low, second.high - second.value
    down = math.sqrt(below**2 - 2 * phi * below * above + above**2)
    below, above = second.value - second.low, first.high - first.value
    up = math.sqrt(below**2 - 2 * phi * below * above + above**2)
    difference = first.value - second.value
    return Interval(difference, max(-1.0, difference - down), min(1.0, difference + up), n, level)


def mean_interval(
    values: ArrayLike,
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean of scores (0-1) and its interval: Wilson for independent 0/1 scores, else cluster bootstrap.

    One cluster alone says nothing of others: the interval is 0 to 1.

    Raises: Refused on no values, or on values that are not finite or outside 0 to 1.
    """
    scores = in_range(values)
    if alone(scores, clusters) and bool(np.isin(scores, (0.0, 1.0)).all()):
        return wilson(round(float(scores.sum())), len(scores), level)
    low, high = bootstrap(scores, clusters, extremes=(0.0, 1.0), level=checked(level), resamples=resamples, seed=seed)
    return around_mean(scores, low, high, level)


def around_mean(values: Floats, low: float, high: float, level: float) -> Interval:
    """Return the interval of a mean; it always holds the mean."""
    value = math.fsum(values.tolist()) / len(values)
    return Interval(value, min(low, value), max(high, value), len(values), level)


def quantile(level: float) -> float:
    """Return how many standard errors a two-sided interval of this level reaches."""
    return float(ndtri(0.5 + checked(level) / 2))


def checked(level: float) -> float:
    """Return the level. Raises: Refused unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise Refused(f"A confidence level lies between 0 and 1; got {level}.")
    return level


def _check_pairs(won: int, lost: int, n: int) -> None:
    if n < 1 or won < 0 or lost < 0 or won + lost > n:
        raise Refused(f"Pairs need won + lost <= n and n >= 1; got {won} won and {lost} lost of {n}.")


def _root(above: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a falling statistic passes its limit."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2
