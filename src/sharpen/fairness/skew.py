"""How far the feedback is from the population it ought to speak for, and how few speak in it.

In: labels, sources and targets. Out: figures and alarms. Must not know what is done about it.

With ten thousand rows every difference is significant, so an alarm needs an effect too. Cells of fewer than 20 rows are
not told: they would name people.

Sources: total variation and Pearson's test; Hill 1973 for effective numbers; Sweeney 2002 for k-anonymity (k = 20
is chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chisquare

from sharpen.errors import Refused
from sharpen.fairness.codes import coded
from sharpen.stats.spending import holm

LEAST_CELL = 20
LEVEL = 0.01  # chosen: Holm over facets
FAR = 0.10  # chosen: total variation
LOUD, LOUD_FIVE = 0.10, 0.35  # chosen: share of the loudest source, and of the loudest five
_DRAWS = 9_999  # of the Monte-Carlo test, where an expected count is below 5


@dataclass(frozen=True, slots=True)
class Skew:
    """One facet against its target."""

    facet: str
    observed: dict[str, float]  # share of the rows; cells below LEAST_CELL are left out
    target: dict[str, float]
    suppressed: int  # cells that are left out
    distance: float  # total variation, 0 to 1
    p_value: float
    effective_groups: float  # 1 / sum of squared shares
    is_alarm: bool


def skew(
    facets: Mapping[str, Sequence[str]], targets: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> list[Skew]:
    """Test each facet that has a target. Raises: Refused when rows are of a category that the target does not name."""
    found: list[Skew] = []
    for facet, target in targets.items():
        if not target or facet not in facets:
            continue
        labels, index_N = coded(facets[facet])
        if unknown := sorted(str(label) for label in labels if label not in target):
            raise Refused(f"Facet '{facet}' has rows of '{unknown[0]}', which its target does not name.", "add it")
        names = [*target]
        count_by = dict(zip(labels, np.bincount(index_N, minlength=len(labels)).tolist(), strict=True))
        count_C = np.array([count_by.get(name, 0) for name in names], dtype=float)
        if not count_C.sum():
            raise Refused(f"Facet '{facet}' has no rows.", "sharpen status")
        wanted_C = np.array([target[name] for name in names], dtype=float)
        wanted_C /= wanted_C.sum()
        share_C = count_C / count_C.sum()
        told = {name: float(share) for name, share, n in zip(names, share_C, count_C, strict=True) if n >= LEAST_CELL}
        found.append(
            Skew(
                facet,
                told,
                dict(zip(names, wanted_C.tolist(), strict=True)),
                len(names) - len(told),
                float(np.abs(share_C - wanted_C).sum() / 2),
                _p_value(count_C, wanted_C, seed),
                float(1 / np.square(share_C).sum()),
                False,
            )
        )
    significant = holm([one.p_value for one in found], LEVEL)
    return [
        replace(one, is_alarm=is_sure and one.distance > FAR) for one, is_sure in zip(found, significant, strict=True)
    ]


def _p_value(count_C: np.ndarray, wanted_C: np.ndarray, seed: int) -> float:
    expected_C = wanted_C * count_C.sum()
    if (expected_C >= 5).all():
        return float(chisquare(count_C, expected_C).pvalue)
    drawn_DC = np.random.default_rng(seed).multinomial(int(count_C.sum()), wanted_C, size=_DRAWS)
    seen = float((np.square(count_C - expected_C) / expected_C).sum())
    far_D = (np.square(drawn_DC - expected_C) / expected_C).sum(1) >= seen - 1e-9
    return float((far_D.sum() + 1) / (_DRAWS + 1))


@dataclass(frozen=True, slots=True)
class Loudness:
    """How many sources speak, in effect."""

    sources: int
    effective_sources: float  # 1 / sum of squared shares
    loudest: float  # share of the rows
    loudest_five: float
    is_alarm: bool


def loudness(sources: Sequence[str], weight_N: np.ndarray | None = None) -> Loudness:
    """Return how the rows, or their weights, are spread over sources. Raises: Refused when there are none."""
    if not len(sources):
        raise Refused("There is no feedback yet.", "sharpen status")
    names, index_N = coded(sources)
    mass_S = np.sort(np.bincount(index_N, weights=weight_N, minlength=len(names)))[::-1]
    share_S = mass_S / mass_S.sum()
    top, five = float(share_S[0]), float(share_S[:5].sum())
    return Loudness(
        len(names), float(1 / np.square(share_S).sum()), top, five, len(names) > 1 and (top > LOUD or five > LOUD_FIVE)
    )
