"""How many cases an effect needs, and what may still come of an evaluation that is under way.

In: effects, the variance of paired differences, alpha. Out: chances and counts. Must not know suites or decisions.

All by the normal approximation. `spread` is the variance of one case's paired difference; for 0/1 scores that is the
share of cases on which the arms differ, less the squared effect. Where cases come in clusters it is larger: that of the
sandwich.
"""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

from sharpen.stats.clusters import Floats

POWER = 0.8  # the convention since Cohen 1988, Statistical Power Analysis for the Behavioral Sciences


def power_of(cases: float, effect: float, boundary: float, spread: float, alpha: float) -> float:
    """Return the chance to show at one-sided `alpha` that an effect lies above `boundary`.

    >>> round(power_of(1030, 0.0, -0.03, 0.15, 0.05), 2)
    0.8
    """
    if cases <= 0:
        return 0.0
    return float(ndtr((effect - boundary) / math.sqrt(spread / cases) + ndtri(alpha)))


def cases_for(power: float, effect: float, boundary: float, spread: float, alpha: float) -> int | None:
    """Return the fewest cases with at least that power; None where no number suffices.

    Source: any textbook; e.g. Chow, Shao and Wang 2008, Sample Size Calculations in Clinical Research, section 3.1.

    >>> cases_for(0.8, 0.0, -0.03, 0.15, 0.05), cases_for(0.8, 0.0, -0.02, 0.15, 0.05)
    (1031, 2319)
    """
    if effect <= boundary:
        return None
    return math.ceil(float(ndtri(power) - ndtri(alpha)) ** 2 * spread / (effect - boundary) ** 2)


def spread_of(sums: Floats, sizes: Floats, prior: float = 0.15, weight: float = 20.0) -> float:
    """Return the variance per case of a mean over clusters: n times its squared standard error, clusters allowed for.

    `weight` cases of variance `prior` are mixed in, so that a few ties do not look like certainty.
    Source: Liang and Zeger 1986, Biometrika 73:13-22 (the sandwich for a ratio mean).
    """
    cases, clusters = float(sizes.sum()), len(sums)
    left = sums - sums.sum() / cases * sizes
    own = float((left**2).sum()) / cases * clusters / max(1, clusters - 1)
    return (cases * own + weight * prior) / (cases + weight)


def conditional_power(
    seen_of: tuple[float, float], estimate: float, assumed: float, *, boundary: float, spread: float, alpha: float
) -> float:
    """Return the chance that the test of all planned cases passes, if the cases to come have the effect `assumed`.

    `seen_of` holds the cases seen and those planned; `estimate` is the effect on those seen.

    Source: Lan, Simon and Halperin 1982, Commun. Stat. C 1:207-219 (stochastic curtailment).
    """
    seen, planned = seen_of
    left = max(0.0, planned - seen)
    mean = (seen * estimate + left * assumed) / planned
    needed = boundary - float(ndtri(alpha)) * math.sqrt(spread / planned)
    if left == 0:
        return float(mean >= needed)
    return float(ndtr((mean - needed) / math.sqrt(spread * left) * planned))
