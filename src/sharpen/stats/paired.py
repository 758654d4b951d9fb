"""Two arms on the same cases: the mean difference, and an exact test of it.

In: paired scores and their clusters. Out: an `Interval`, a p-value. Must not know what is decided on them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from sharpen.errors import Refused
from sharpen.stats.clusters import CELLS, Clusters, alone, bootstrap, by_cluster, finite, in_blocks, in_range
from sharpen.stats.intervals import Interval, around_mean, checked, tango

EXHAUSTIVE_CLUSTERS = 16  # chosen: 65,536 sign patterns, some milliseconds
EXACT_TOTAL = 20_000  # chosen: length of the exact null distribution that is still computed in well under a second


def paired_difference(
    challenger: ArrayLike,
    other: ArrayLike,
    clusters: Clusters | None = None,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean of challenger minus other on the same cases, and its interval.

    Tango's where every case stands alone and each is won, lost or tied; else paired cluster bootstrap. Both hold scores
    from 0 to 1, position by position the same case. One cluster alone says nothing of others: the interval is -1 to 1.

    Raises: Refused on no values, on values that are not finite or outside 0 to 1, and on unequal lengths.
    """
    ours, theirs = in_range(challenger), in_range(other)
    if len(ours) != len(theirs):
        raise Refused(f"Paired scores need equal lengths; got {len(ours)} and {len(theirs)}.")
    differences = ours - theirs
    if len(differences) > 1 and alone(differences, clusters) and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        return tango(int((differences > 0).sum()), int((differences < 0).sum()), len(differences), level)
    low, high = bootstrap(
        differences, clusters, extremes=(-1.0, 1.0), level=checked(level), resamples=resamples, seed=seed
    )
    return around_mean(differences, low, high, level)


def sign_flip_p(
    differences: ArrayLike, clusters: Clusters | None = None, *, resamples: int = 10_000, seed: int = 0
) -> float:
    """Return the one-sided p-value of the hypothesis that the mean paired difference is not positive.

    Under it a cluster's summed difference is as likely to be negative as positive. Whole-number sums (0/1 scores) are
    tested exactly; with every case alone that is McNemar's exact test. Other sums: all sign patterns up to 16 clusters,
    else Monte-Carlo with (1 + b) / (1 + m); beyond 500 clusters, random blocks of them are flipped. All ties give 1.

    Raises: Refused on no or non-finite values.
    Source: Fisher 1935, The Design of Experiments, §21; McNemar 1947, Psychometrika 12:153-157; the exact distribution
    by convolution: Pagano and Tritchler 1983, JASA 78:435-440; Monte-Carlo: Phipson and Smyth 2010, Stat. Appl. Genet.
    Mol. Biol. 9:39.
    """
    sums, sizes = by_cluster(finite(differences), clusters)
    is_tied = np.abs(sums) <= 1e-12
    sums, sizes = sums[~is_tied], sizes[~is_tied]
    whole = np.rint(sums)
    if len(sums) == 0:
        return 1.0
    if np.abs(sums - whole).max() < 1e-9 and np.abs(whole).sum() <= EXACT_TOTAL:
        return _exact_p(whole.astype(np.int64))
    rng = np.random.default_rng(seed)
    sums, _ = in_blocks(sums, sizes, rng)
    threshold = float(sums.sum()) - 1e-9 * float(np.abs(sums).sum())
    if len(sums) <= EXHAUSTIVE_CLUSTERS:
        patterns = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        return float(((2 * patterns - 1) @ sums >= threshold).mean())
    hits, left = 0, resamples
    while left > 0:
        size = min(left, max(1, CELLS // len(sums)))
        bits = np.unpackbits(rng.integers(0, 256, size=(size, -(-len(sums) // 8)), dtype=np.uint8), axis=1)
        positive = bits[:, : len(sums)].astype(np.float64) @ sums
        hits += int((2 * positive - sums.sum() >= threshold).sum())
        left -= size
    return (1 + hits) / (1 + resamples)


def _exact_p(sums: NDArray[np.int64]) -> float:
    """Return the exact sign-flip p-value of whole-number sums, none of them 0.

    Sums of equal size make a binomial distribution; those of different sizes are convolved.
    """
    sizes, counts = np.unique(np.abs(sums), return_counts=True)
    total = int(np.abs(sums).sum())
    chances = np.ones(1)  # chances[t]: the positive sums add up to t
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        positive = np.arange(count + 1)
        logs = gammaln(count + 1) - gammaln(positive + 1) - gammaln(count - positive + 1) - count * math.log(2)
        spread = np.zeros(size * count + 1)
        spread[::size] = np.exp(logs)
        chances = np.convolve(chances, spread)
    return min(1.0, float(chances[(total + int(sums.sum())) // 2 :].sum()))
