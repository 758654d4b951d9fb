"""What people of different views agree on: the part of an item's ratings that no viewpoint explains.

In: who rated what how. Out: per item its common worth and its lean. Must not know what the views are.

    rating = mu + i_rater + i_item + f_rater f_item

The intercept i_item is worth beyond taste: a majority cannot vote its own side's items up, since f explains that.
Source: the ranking of Community Notes (Wojcik et al. 2022, Birdwatch, arXiv:2210.15723): regularisation 0.15 on
intercepts and 0.03 on factors. Fitted here by alternating least squares, which needs no learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ON_INTERCEPTS = 0.15
ON_FACTORS = 0.03
ROUNDS = 200
TOLERANCE = 1e-6
FEWEST = 5  # ratings; below, an item's worth is not told


@dataclass(frozen=True, slots=True)
class Bridging:
    """What was fitted; NaN for items with fewer than FEWEST ratings."""

    worth_I: np.ndarray  # i_item, in units of the rating
    lean_I: np.ndarray  # f_item, scaled to raters of unit spread; its sign means nothing
    view_R: np.ndarray  # f_rater


def bridging(
    item_N: np.ndarray, rater_N: np.ndarray, rating_N: np.ndarray, items: int, raters: int, *, seed: int = 0
) -> Bridging:
    """Fit the model. Ratings are in [0, 1]; numbers are 0-based. The result is the same on every run."""
    random = np.random.default_rng(seed)
    rating_N = np.asarray(rating_N, dtype=float)
    mean = 0.0
    base_R, base_I = np.zeros(raters), np.zeros(items)
    view_R, lean_I = random.normal(0, 0.1, raters), random.normal(0, 0.1, items)
    for _ in range(ROUNDS):
        before_I = base_I
        rest_N = rating_N - base_R[rater_N] - base_I[item_N] - view_R[rater_N] * lean_I[item_N]
        mean = float(rest_N.sum() / (len(rest_N) + ON_INTERCEPTS))
        base_R, view_R = _solve(rater_N, rating_N - mean - base_I[item_N], lean_I[item_N], raters)
        base_I, lean_I = _solve(item_N, rating_N - mean - base_R[rater_N], view_R[rater_N], items)
        if np.abs(base_I - before_I).max(initial=0.0) < TOLERANCE:
            break
    scale = float(view_R.std()) or 1.0
    few_I = np.bincount(item_N, minlength=items) < FEWEST
    return Bridging(np.where(few_I, np.nan, base_I + mean), np.where(few_I, np.nan, lean_I * scale), view_R / scale)


def _solve(place_N: np.ndarray, rest_N: np.ndarray, other_N: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return intercept and factor per place: the ridge regression of what is left on the other side's factor."""
    n_C = np.bincount(place_N, minlength=count) + ON_INTERCEPTS
    x_C = np.bincount(place_N, weights=other_N, minlength=count)
    xx_C = np.bincount(place_N, weights=other_N**2, minlength=count) + ON_FACTORS
    y_C = np.bincount(place_N, weights=rest_N, minlength=count)
    xy_C = np.bincount(place_N, weights=rest_N * other_N, minlength=count)
    determinant_C = n_C * xx_C - x_C**2
    return (xx_C * y_C - x_C * xy_C) / determinant_C, (n_C * xy_C - x_C * y_C) / determinant_C
