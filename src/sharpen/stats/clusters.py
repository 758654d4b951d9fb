"""Values and the clusters they belong to: checked, added up, resampled.

In: arrays of numbers and the cluster of each. Out: sums and sizes per cluster, resampled means. Must not know scores'
meaning, records or decisions.

Cases of one cluster are not independent, so clusters are what is resampled. Nothing here depends on the order of the
cases or on how clusters are named.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from sharpen.errors import Refused

Floats = NDArray[np.float64]
Clusters = Sequence[Hashable]

CELLS = 4_000_000  # chosen: numbers held at once while resampling; 32 MB
MOST_RESAMPLES = 1_000_000  # chosen: about a second for 0/1 scores; tails finer than this give the widest interval
MOST_BLOCKS = 500  # chosen: more clusters are first dealt at random into this many blocks; costs no accuracy
TAIL_RESAMPLES = 20  # chosen: resamples beyond the quantile, so that its level is known to about a fifth
FEW_KINDS = 64  # chosen: with fewer distinct clusters, drawing their counts beats drawing their places
ENOUGH_CHANGED = 25  # chosen: see `bootstrap`
PSEUDO = 2  # clusters of each extreme, see `bootstrap`


def bootstrap(
    values: Floats,
    clusters: Clusters | None,
    *,
    extremes: tuple[float, float],
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return both ends of the expanded percentile interval of a mean over resampled clusters.

    The percentile is widened by sqrt(G / (G - 1)) and Student's t. Where fewer than 25 clusters differ from 0 and from
    one another's extreme, resampling cannot show what it never saw: two pseudo-clusters of each extreme, of the mean
    size, then keep the interval wide, and make repeating a case within its cluster worth nothing. Chosen by measured
    coverage (tests/calibration): the plain percentile and BCa missed 12 % of a one-sided 3 % end where nearly all of 40
    pairs tie.
    Source: Hesterberg 2015, Am. Stat. 69:371-386; Agresti and Coull 1998, Am. Stat. 52:119-126 (two of each).
    """
    sums, sizes = by_cluster(values, clusters)
    lowest, highest = extremes
    groups = len(sums)
    if groups < 2:
        return lowest, highest
    tail = float(ndtr(math.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, (1 - level) / 2)))
    resamples = int(min(max(resamples, TAIL_RESAMPLES / max(tail, 1e-12)), MOST_RESAMPLES))
    rank = int(tail * (resamples + 1))
    if rank < 1:
        return lowest, highest
    if _changed(sums, sizes) < ENOUGH_CHANGED:
        size = float(sizes.mean())
        sums = np.concatenate([sums, np.repeat(extremes, PSEUDO) * size])
        sizes = np.concatenate([sizes, np.full(2 * PSEUDO, size)])
    means = np.sort(_resampled_means(sums, sizes, resamples, np.random.default_rng(seed)))
    return float(means[rank - 1]), float(means[resamples - rank])


def by_cluster(values: Floats, clusters: Clusters | None) -> tuple[Floats, Floats]:
    """Return each cluster's sum and size, in an order that depends on neither names nor positions."""
    if clusters is None:
        return np.sort(values), np.ones(len(values))
    if len(clusters) != len(values):
        raise Refused(f"Every value needs its cluster; got {len(values)} values and {len(clusters)} clusters.")
    members: dict[Hashable, list[float]] = {}
    for cluster, value in zip(clusters, values.tolist(), strict=True):
        members.setdefault(cluster, []).append(value)
    pairs = sorted((math.fsum(group), float(len(group))) for group in members.values())
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])


def in_blocks(sums: Floats, sizes: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Deal clusters at random into at most `MOST_BLOCKS` blocks: independent clusters make independent blocks."""
    if len(sums) <= MOST_BLOCKS:
        return sums, sizes
    block = rng.permutation(len(sums)) % MOST_BLOCKS
    dealt: Floats = np.bincount(block, sums, MOST_BLOCKS).astype(np.float64)
    return dealt, np.bincount(block, sizes, MOST_BLOCKS).astype(np.float64)


def alone(values: Floats, clusters: Clusters | None) -> bool:
    """Tell whether every case is its own cluster."""
    return clusters is None or len(set(clusters)) == len(values)


def finite(values: ArrayLike) -> Floats:
    """Return the values as an array. Raises: Refused on none, or on one that is not a number."""
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(array) == 0:
        raise Refused("There is nothing to average: no scored case is left.")
    if not bool(np.isfinite(array).all()):
        raise Refused("A score is missing or not a number; leave unscored cases out, and count them.")
    return array


def in_range(values: ArrayLike) -> Floats:
    """Return scores as an array. Raises: Refused on none, and on one outside 0 to 1."""
    array = finite(values)
    if array.min() < 0 or array.max() > 1:
        raise Refused(f"Scores go from 0 to 1; got {array.min():g} to {array.max():g}.")
    return array


def _changed(sums: Floats, sizes: Floats) -> int:
    """Return how many clusters differ from the commonest mean: what resampling has to learn the spread from."""
    means = np.round(sums / sizes, 12)
    _, counts = np.unique(means, return_counts=True)
    return int(len(means) - counts.max())


def _resampled_means(sums: Floats, sizes: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return means of resampled clusters. Equal clusters are drawn together, as counts: 0/1 scores make few kinds."""
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    means = np.empty(resamples)
    if len(kinds) <= FEW_KINDS:
        chances = counts / counts.sum()
        for rows in _chunks(resamples, len(kinds)):
            drawn = rng.multinomial(len(sums), chances, size=rows.stop - rows.start)
            means[rows] = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
        return means
    sums, sizes = in_blocks(sums, sizes, rng)
    for rows in _chunks(resamples, len(sums)):
        places = rng.integers(0, len(sums), size=(rows.stop - rows.start, len(sums)), dtype=np.int32)
        means[rows] = sums[places].sum(axis=1) / sizes[places].sum(axis=1)
    return means


def _chunks(rows: int, width: int) -> list[slice]:
    step = max(1, CELLS // width)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
