"""Whether raters stand in camps: the strongest common direction of their votes, against votes without any.

In: who rated what how. Out: how strong it is, whether chance explains it, and who stands where. Must not name a camp.

The null shuffles every item's ratings among those who rated it: how popular items are, and who rated what, stays. Two
people then agree only as far as everybody does. Source: parallel analysis, Horn 1965, in the permuted form of Buja and
Eyuboglu 1992; camps by the sign of the first component, as Polis does for two (Small et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

ROUNDS = 199  # chosen: the smallest p is 1 / 200
LEVEL = 0.01
_FEWEST = 3  # raters and items, below which nothing is looked for


@dataclass(frozen=True, slots=True)
class Camps:
    """The strongest direction; `side_R` is -1 or 1, and 0 for raters who rated nothing."""

    strength: float  # singular value over its mean under the null
    p_value: float
    side_R: np.ndarray
    smaller: float  # share of the smaller camp; 0 where there are none
    are_there: bool


def camps(
    item_N: np.ndarray,
    rater_N: np.ndarray,
    rating_N: np.ndarray,
    items: int,
    raters: int,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Camps:
    """Look for camps among raters. One rating per rater and item; numbers are 0-based."""
    if min(items, raters) < _FEWEST:
        return Camps(1.0, 1.0, np.zeros(raters), 0.0, False)
    random = np.random.default_rng(seed)
    order_N = np.argsort(item_N, kind="stable")
    item_N, rater_N = item_N[order_N], rater_N[order_N]
    mean_I = np.bincount(item_N, weights=rating_N[order_N], minlength=items) / np.maximum(
        np.bincount(item_N, minlength=items), 1
    )
    rest_N = rating_N[order_N] - mean_I[item_N]
    own, vector_R = _strongest(rest_N, item_N, rater_N, items, raters, seed=seed)
    null = np.empty(rounds)
    for at in range(rounds):
        shuffled_N = rest_N[np.lexsort((random.random(len(item_N)), item_N))]
        null[at] = _strongest(shuffled_N, item_N, rater_N, items, raters, seed=seed)[0]
    p_value = float((np.sum(null >= own) + 1) / (rounds + 1))
    side_R = np.sign(vector_R)
    sided = side_R[side_R != 0]
    smaller = float(min((sided > 0).mean(), (sided < 0).mean())) if len(sided) else 0.0
    are_there = p_value <= LEVEL
    return Camps(float(own / (null.mean() or 1.0)), p_value, side_R, smaller if are_there else 0.0, are_there)


def _strongest(
    value_N: np.ndarray, item_N: np.ndarray, rater_N: np.ndarray, items: int, raters: int, *, seed: int
) -> tuple[float, np.ndarray]:
    if not np.any(value_N):
        return 0.0, np.zeros(raters)
    votes_RI = csr_array((value_N, (rater_N, item_N)), shape=(raters, items))
    left, strength, _ = svds(votes_RI, k=1, v0=np.random.default_rng(seed).random(min(raters, items)))
    vector_R = left[:, 0]
    vector_R = vector_R * (np.sign(vector_R[np.argmax(np.abs(vector_R))]) or 1.0)  # the same sign on every run
    return float(strength[0]), np.where(np.abs(vector_R) > 1e-9, vector_R, 0.0)
