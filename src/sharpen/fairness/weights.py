"""A row's weight and what it is made of: raking (trimmed) x reliability x duplicates x source cap.

In: per row its source, facets and cluster of near-duplicates; per source its reliability. Out: weights and their
factors, so that each can be explained. Must not know how reliability or clusters were found.

Up-weighting whoever is under-represented pays for claiming a rare identity. So reliability comes before representation:
a source that is not trusted yet is never weighed up, and all such sources of a group together count for no more than
one trusted source. New sources grow by agreement on items whose answer is known.

Only raking can make a weight large, so only raking is trimmed, by the median of trusted rows: many tiny rows of fakes
would pull the median of all rows down, and with it what honest rows may weigh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.fairness.raking import design_effect, effective_size, rake, trimmed

NEW_SOURCE = 0.2  # chosen: the reliability of a source that nothing is known of
TRUSTED = 0.5  # chosen: from here on a source may be weighed up
FREE_ROWS = 5  # chosen: rows of one source that count in full; each one after that counts 0.9 of the one before
DECAY = 0.9
TRIM = 5.0  # chosen: nobody is weighed up more than five times as far as the median of trusted rows


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights (mean 1), the factors they are the product of up to scale, and what they cost."""

    weight_N: np.ndarray
    factors: dict[str, np.ndarray]
    effective_size: float
    design_effect: float

    def explain(self, row: int) -> dict[str, float]:
        """Return a row's factors by name, and its final weight."""
        return {name: float(factor_N[row]) for name, factor_N in self.factors.items()} | {
            "weight": float(self.weight_N[row])
        }


def weigh(
    sources: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    targets: Mapping[str, Mapping[str, float]],
    *,
    reliability: Mapping[str, float] | None = None,
    cluster_size_N: np.ndarray | None = None,
    is_brigade_N: np.ndarray | None = None,
) -> Weights:
    """Return the weights of rows.

    `cluster_size_N` counts each row's near-duplicates and itself: they share the weight of sqrt(size) rows, or of one
    where the cluster was flagged as a brigade. Raises: Refused when raking is impossible.
    """
    count = len(sources)
    known = reliability or {}
    reliable_N = np.array([known.get(source, NEW_SOURCE) for source in sources])
    size_N = np.ones(count) if cluster_size_N is None else np.asarray(cluster_size_N, dtype=float)
    flagged_N = np.zeros(count, dtype=bool) if is_brigade_N is None else np.asarray(is_brigade_N, dtype=bool)
    factors = {
        "reliability": reliable_N,
        "duplicates": np.where(flagged_N, 1 / size_N, 1 / np.sqrt(size_N)),
        "source cap": _source_cap(sources),
    }
    own_N = np.prod(np.stack(list(factors.values())), axis=0)
    trusted_N = reliable_N >= TRUSTED
    factors["raking"] = _raking(facets, targets, own_N, trusted_N)
    before_N = own_N * factors["raking"]
    factors["newcomers"] = _newcomers(before_N, trusted_N, sources, _cells(facets, count))
    weight_N = before_N * factors["newcomers"]
    weight_N /= weight_N.mean()
    return Weights(weight_N, factors, effective_size(weight_N), design_effect(weight_N))


def _source_cap(sources: Sequence[str]) -> np.ndarray:
    """Return 1 for a source's first rows, then ever less: its total stays below FREE_ROWS + DECAY / (1 - DECAY)."""
    seen: dict[str, int] = {}
    factor_N = np.empty(len(sources))
    for row, source in enumerate(sources):
        rank = seen[source] = seen.get(source, 0) + 1
        factor_N[row] = DECAY ** max(0, rank - FREE_ROWS)
    return factor_N


def _raking(
    facets: Mapping[str, Sequence[str]],
    targets: Mapping[str, Mapping[str, float]],
    own_N: np.ndarray,
    trusted_N: np.ndarray,
) -> np.ndarray:
    """Return factors from raking; of sources that are not trusted only those that lower a weight.

    The factors are found on trusted rows, so that nobody else moves them; where no trusted row holds a category, its
    target waits until there is one.
    """
    factor_N = np.ones(len(own_N))
    base = trusted_N & (own_N > 0)
    if not base.any() or not any(targets.values()):
        return factor_N
    inside = {
        name: [label for label, is_in in zip(labels, base, strict=True) if is_in] for name, labels in facets.items()
    }
    reached = {
        name: {label: share for label, share in targets[name].items() if label in set(inside[name])}
        for name in facets
        if targets.get(name)
    }
    raked = rake(inside, reached, own_N[base])
    factor_N[base] = trimmed(raked / (own_N[base] / own_N[base].mean()), TRIM)
    # A row outside takes the factor of trusted rows like it, if that is below 1.
    keys = _cells(facets, len(own_N))
    by_key = {keys[row]: float(factor_N[row]) for row in np.flatnonzero(base).tolist()}
    for row in np.flatnonzero(~base).tolist():
        factor_N[row] = min(1.0, by_key.get(keys[row], 1.0))
    return factor_N


def _newcomers(
    weight_N: np.ndarray, trusted_N: np.ndarray, sources: Sequence[str], cells: Sequence[tuple[str, ...]]
) -> np.ndarray:
    """Return factors that hold all untrusted sources of a cell to the weight of one trusted source, on average."""
    factor_N = np.ones(len(weight_N))
    trusted = {source for source, is_trusted in zip(sources, trusted_N, strict=True) if is_trusted}
    if not trusted:
        return factor_N  # nobody is trusted yet: nothing to measure by
    one = float(weight_N[trusted_N].sum()) / len(trusted)
    outside: dict[tuple[str, ...], list[int]] = {}
    for row in np.flatnonzero(~trusted_N).tolist():
        outside.setdefault(cells[row], []).append(row)
    for rows in outside.values():
        total = float(weight_N[rows].sum())
        if total > one:
            factor_N[rows] = one / total
    return factor_N


def _cells(facets: Mapping[str, Sequence[str]], count: int) -> list[tuple[str, ...]]:
    return list(zip(*facets.values(), strict=True)) if facets else [()] * count
