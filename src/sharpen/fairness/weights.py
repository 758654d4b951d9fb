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
from itertools import compress

import numpy as np

from sharpen.errors import Refused
from sharpen.fairness.codes import cells, coded
from sharpen.fairness.raking import design_effect, effective_size, rake, trimmed

NEW_SOURCE = 0.2  # chosen: the reliability of a source that nothing is known of
TRUSTED = 0.5  # chosen: from here on a source may be weighed up
FREE_ROWS = 5  # chosen: rows of one source that count in full; each one after that adds 0.9 of the one before
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
    if not count:
        raise Refused("There is nothing to weigh: no row.", "sharpen status")
    known = reliability or {}
    names, source_N = coded(sources)
    cell_N = cells(facets, count)
    reliable_N = np.array([known.get(str(name), NEW_SOURCE) for name in names])[source_N]
    size_N = np.ones(count) if cluster_size_N is None else np.asarray(cluster_size_N, dtype=float)
    flagged_N = np.zeros(count, dtype=bool) if is_brigade_N is None else np.asarray(is_brigade_N, dtype=bool)
    factors = {
        "reliability": reliable_N,
        "duplicates": np.where(flagged_N, 1 / size_N, 1 / np.sqrt(size_N)),
        "source cap": _source_cap(source_N),
    }
    own_N = np.prod(np.stack(list(factors.values())), axis=0)
    trusted_N = reliable_N >= TRUSTED
    factors["raking"] = _raking(facets, targets, own_N, trusted_N, cell_N)
    before_N = own_N * factors["raking"]
    factors["newcomers"] = _newcomers(before_N, trusted_N, source_N, cell_N)
    weight_N = before_N * factors["newcomers"]
    weight_N /= weight_N.mean()
    return Weights(weight_N, factors, effective_size(weight_N), design_effect(weight_N))


def _source_cap(source_N: np.ndarray) -> np.ndarray:
    """Return what a row of each source counts: n rows count for n up to FREE_ROWS, and for 14 at the most.

    The total is FREE_ROWS + sum of DECAY^k, shared evenly: which of a source's rows came first says nothing of them.
    """
    rows_S = np.bincount(source_N)
    more_S = np.maximum(0, rows_S - FREE_ROWS)
    total_S = np.minimum(rows_S, FREE_ROWS) + DECAY * (1 - DECAY**more_S) / (1 - DECAY)
    return np.asarray((total_S / np.maximum(rows_S, 1))[source_N])


def _raking(
    facets: Mapping[str, Sequence[str]],
    targets: Mapping[str, Mapping[str, float]],
    own_N: np.ndarray,
    trusted_N: np.ndarray,
    cell_N: np.ndarray,
) -> np.ndarray:
    """Return factors from raking; of sources that are not trusted only those that lower a weight.

    The factors are found on trusted rows, so that nobody else moves them; where no trusted row holds a category, its
    target waits until there is one.
    """
    factor_N = np.ones(len(own_N))
    base_N = trusted_N & (own_N > 0)
    if not base_N.any() or not any(targets.values()):
        return factor_N
    base = base_N.tolist()
    inside, reached = {}, {}
    for name, labels in facets.items():
        if not targets.get(name):
            continue
        inside[name] = list(compress(labels, base))
        present = set(inside[name])
        reached[name] = {label: share for label, share in targets[name].items() if label in present}
    raked = rake(inside, reached, own_N[base_N])
    factor_N[base_N] = trimmed(raked / (own_N[base_N] / own_N[base_N].mean()), TRIM)
    # A row outside takes the factor of trusted rows like it, if that is below 1.
    factor_C = np.ones(int(cell_N.max()) + 1)
    factor_C[cell_N[base_N]] = factor_N[base_N]
    factor_N[~base_N] = np.minimum(1.0, factor_C[cell_N[~base_N]])
    return factor_N


def _newcomers(weight_N: np.ndarray, trusted_N: np.ndarray, source_N: np.ndarray, cell_N: np.ndarray) -> np.ndarray:
    """Return factors that hold all untrusted sources of a cell to the weight of one trusted source, on average."""
    factor_N = np.ones(len(weight_N))
    trusted = len(np.unique(source_N[trusted_N]))
    if not trusted:
        return factor_N  # nobody is trusted yet: nothing to measure by
    one = float(weight_N[trusted_N].sum()) / trusted
    outside_N = ~trusted_N
    total_C = np.bincount(cell_N[outside_N], weights=weight_N[outside_N], minlength=int(cell_N.max()) + 1)
    limit_C = np.where(total_C > one, one / np.where(total_C > 0, total_C, 1.0), 1.0)
    factor_N[outside_N] = limit_C[cell_N[outside_N]]
    return factor_N
