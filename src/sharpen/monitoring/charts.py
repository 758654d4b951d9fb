"""A measure over time, cut into windows, each compared with the windows that say what is normal.

In: values in the order of time. Out: windows, and which of them are not normal. Must not know the store or who is told.

A window is told only if it and the one before it lie outside of the t prediction interval of the reference windows,
for a share beyond the binomial tail too, and if the change is large enough to matter. The interval is made of whole
windows, so what varies from hour to hour, or comes in bunches from one user, is part of what is normal.
Source: prediction interval of one more value: Hahn 1970, Statistical intervals for a normal population, J. Quality
Technology 2:115-125; a window per test at an equal share of the week's false alarms is Bonferroni's inequality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sharpen.monitoring.live import BUCKETS

Measure = Literal["quality", "refusals", "errors", "latency", "length", "wording", "meaning"]
MEASURES: tuple[Measure, ...] = ("quality", "refusals", "errors", "latency", "length", "wording", "meaning")


@dataclass(frozen=True, slots=True)
class Trait:
    """What is special about a measure."""

    name: str
    bad: Literal["low", "high", "both"]
    least: float  # smallest change that matters, on the scale that is charted
    is_share: bool = False
    is_log: bool = False
    is_distance: bool = False


# chosen: a tenth of the ratings, a quarter of time, length or distance, the margins of [rollout]
TRAITS: dict[Measure, Trait] = {
    "quality": Trait("mean rating", "low", 0.1),
    "refusals": Trait("refusal share", "high", 0.05, is_share=True),
    "errors": Trait("error share", "high", 0.02, is_share=True),
    "latency": Trait("95th percentile of latency", "high", math.log(1.25), is_log=True),
    "length": Trait("reply length", "both", math.log(1.25), is_log=True),
    "wording": Trait("distance of the words", "high", 0.0, is_distance=True),
    "meaning": Trait("distance of the meaning", "high", 0.0, is_distance=True),
}
_BEFORE = 0.01  # chosen: with it 200 simulated quiet weeks of every measure stay under the promise
_FARTHER = 1.1  # chosen: a distance's cube root matters from a tenth more than normal, the distance from a third


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window. `vector` is what a distance is measured from, where the measure is one."""

    start_s: float
    end_s: float
    n: int
    value: float
    vector: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Strange:
    """A window that is not normal."""

    window: Window
    value: float
    normal: float
    p_value: float


class Chart:
    """Cuts one measure of one version into windows, as values come in."""

    def __init__(self, measure: Measure, *, length_s: float, least: int) -> None:
        self.measure: Measure = measure
        self.windows: list[Window] = []
        self._length_s = length_s
        self._least = least
        self._open: list[tuple[float, float | NDArray[np.float64]]] = []

    def add(self, at_s: float, value: float | NDArray[np.float64]) -> None:
        """Take a value; the window before it is closed once it is long and full enough."""
        if self._open and len(self._open) >= self._least and at_s - self._open[0][0] >= self._length_s:
            self.windows.append(self._closed(at_s))
            self._open = []
        self._open.append((at_s, value))

    def _closed(self, end_s: float) -> Window:
        values = [value for _, value in self._open]
        vector, mean = None, 0.0
        if TRAITS[self.measure].is_distance:
            # Equal numbers of replies, spread over the window: fewer would lie farther off by chance alone.
            spread = np.linspace(0, len(values) - 1, self._least).round().astype(int)
            vector = np.mean([values[place] for place in spread], axis=0)
        elif self.measure == "latency":
            mean = math.log(max(1e-6, float(np.quantile(np.asarray(values, float), 0.95))))
        else:
            mean = float(np.mean(np.asarray(values, float)))
        return Window(self._open[0][0], end_s, len(values), mean, vector)


def lasting(
    measure: Measure, earlier: Window, window: Window, reference: Sequence[Window], limit: float
) -> Strange | None:
    """Tell whether a window is not normal at a chance of `limit`, and the one before it was not either, at 1 %.

    One odd window alone is not told: windows differ in size, and the tails of a measure are heavier than the interval
    supposes.
    """
    found = strange(measure, window, reference, limit)
    return found if found and strange(measure, earlier, reference, _BEFORE) else None


def strange(measure: Measure, window: Window, reference: Sequence[Window], limit: float) -> Strange | None:
    """Tell whether a window is not normal at a chance of `limit`; None where it is."""
    from scipy.stats import binom, t

    trait, normal, value = TRAITS[measure], [one.value for one in reference], window.value
    if trait.is_distance:
        normal, value = _distances(measure, window, reference)
    count, mean = len(normal), float(np.mean(normal))
    change = value - mean
    if trait.bad == "low":
        change = -change
    elif trait.bad == "both":
        change = abs(change)
    if change <= max(trait.least, (_FARTHER - 1) * mean if trait.is_distance else 0.0):
        return None
    spread = max(float(np.std(normal, ddof=1)), 1e-6) * math.sqrt(1 + 1 / count)
    p_value = float(t.sf(change / spread, count - 1)) * (2 if trait.bad == "both" else 1)
    if trait.is_share:
        seen = sum(one.n for one in reference)
        share = (sum(one.n * one.value for one in reference) + 0.5) / (seen + 1)  # never 0: Jeffreys' half
        p_value = max(p_value, float(binom.sf(round(value * window.n) - 1, window.n, share)))
    if p_value >= limit:
        return None
    return Strange(
        window, math.exp(value) if trait.is_log else value, math.exp(mean) if trait.is_log else mean, p_value
    )


def histogram(words: bytes) -> NDArray[np.float64]:
    """Return the share of each of the 512 word numbers in a reply."""
    counts = np.bincount(np.frombuffer(words, dtype="<u2"), minlength=BUCKETS).astype(np.float64)
    return counts / max(1.0, float(counts.sum()))


def _distances(measure: Measure, window: Window, reference: Sequence[Window]) -> tuple[list[float], float]:
    """Return how far each reference window is from the others, and the window from them all; cube roots.

    A distance adds up squares; its cube root is nearly normal. Source: Wilson and Hilferty 1931, PNAS 17:684-688.
    """
    measured = _jensen_shannon if measure == "wording" else _cosine

    def distance(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
        return float(np.cbrt(measured(left, right)))

    vectors = np.array([one.vector for one in reference])
    total, count = vectors.sum(axis=0), len(vectors)
    normal = [distance(one, (total - one) / (count - 1)) for one in vectors]
    assert window.vector is not None
    return normal, distance(window.vector, total / count)


def _jensen_shannon(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Return the divergence in bits, 0-1. Source: Lin 1991, IEEE Trans. Information Theory 37:145-151."""
    left, right = left / max(1e-12, left.sum()), right / max(1e-12, right.sum())
    middle = (left + right) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(one > 0, one * np.log2(one / middle), 0.0).sum() for one in (left, right)]
    return float(max(0.0, sum(terms) / 2))


def _cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return max(0.0, float(1 - left @ right / max(1e-12, float(np.linalg.norm(left) * np.linalg.norm(right)))))
