"""How far a source can be relied on: by answers that are known, and by agreement within its own group.

In: who rated what how. Out: a number per source, 0 to 1; items on which groups disagree. Must not know the sources.

Fitting all raters together calls a minority's disagreement an error (Davani, Diaz and Prabhakaran 2022). So agreement
is counted inside each group, and an item on which groups differ is contested, not noisy.

Sources: Dawid and Skene 1979, in the form with one accuracy per rater ("one coin"); the correction for chance is
Cohen's 1960.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from sharpen.fairness.weights import NEW_SOURCE

PRIOR = 3.0  # chosen: rows that the first impression counts for; after 5 of 5 right answers a source is at 0.7
ROUNDS = 100
CONTESTED = 0.01  # chosen: level, Holm over items


def on_gold(agreed_S: np.ndarray, asked_S: np.ndarray, chance: float = 0.5) -> np.ndarray:
    """Return each source's reliability from known answers: agreement beyond chance, pulled towards a newcomer's.

    >>> on_gold(np.array([0, 5, 50, 25]), np.array([0, 5, 50, 50])).round(2).tolist()
    [0.2, 0.7, 0.95, 0.01]
    """
    asked_S = np.asarray(asked_S, dtype=float)
    rate_S = np.where(asked_S > 0, np.asarray(agreed_S) / np.maximum(asked_S, 1), chance)
    beyond_S = np.maximum(0.0, (rate_S - chance) / (1 - chance))
    return np.asarray((PRIOR * NEW_SOURCE + asked_S * beyond_S) / (PRIOR + asked_S))


def one_coin(
    item_N: np.ndarray, rater_N: np.ndarray, label_N: np.ndarray, raters: int, group_R: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one accuracy per rater by EM, (R,), NaN where a rater rated nothing; and per row how good the item is, (N,).

    Numbers are 0-based, labels 0 or 1. With `group_R` an item has one answer per group: who differs from another group
    makes no error. A starts-with-the-majority fit; it cannot tell a rater who is always wrong from one always right.
    """
    groups = 1 if group_R is None else int(group_R.max()) + 1
    group_N = np.zeros(len(item_N), dtype=np.int64) if group_R is None else group_R[rater_N]
    place_N = np.unique(item_N * groups + group_N, return_inverse=True)[1]
    count_I = np.bincount(place_N)
    good_I = np.bincount(place_N, weights=label_N) / count_I
    rated_R = np.bincount(rater_N, minlength=raters)
    accuracy_R = np.full(raters, 0.7)
    for _ in range(ROUNDS):
        right_N = np.where(label_N == 1, good_I[place_N], 1 - good_I[place_N])
        # One row each of a right and a wrong answer as prior: nobody is infallible after two ratings.
        fresh_R = (np.bincount(rater_N, weights=right_N, minlength=raters) + 1) / (rated_R + 2)
        odds_N = np.log(fresh_R / (1 - fresh_R))[rater_N] * np.where(label_N == 1, 1.0, -1.0)
        good_I = 1 / (1 + np.exp(-np.clip(np.bincount(place_N, weights=odds_N), -50, 50)))
        done = np.abs(fresh_R - accuracy_R).max() < 1e-6
        accuracy_R = fresh_R
        if done:
            break
    return np.where(rated_R > 0, accuracy_R, np.nan), good_I[place_N]


def contested(item_N: np.ndarray, group_N: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Return the items on which some two groups' ratings differ, at a family-wise level of 1 %.

    A normal test of two proportions per item and pair of groups, of those with 5 ratings or more each; Holm over all.
    """
    groups = int(group_N.max()) + 1 if len(group_N) else 0
    items = int(item_N.max()) + 1 if len(item_N) else 0
    cell_N = item_N * groups + group_N
    count_IG = np.bincount(cell_N, minlength=items * groups).reshape(items, groups)
    good_IG = np.bincount(cell_N, weights=label_N, minlength=items * groups).reshape(items, groups)
    p_values, owners = [], []
    for one in range(groups):
        for other in range(one + 1, groups):
            both_I = (count_IG[:, one] >= 5) & (count_IG[:, other] >= 5)
            n_I, m_I = count_IG[both_I, one], count_IG[both_I, other]
            pooled_I = (good_IG[both_I, one] + good_IG[both_I, other]) / (n_I + m_I)
            spread_I = np.sqrt(np.maximum(pooled_I * (1 - pooled_I), 1e-12) * (1 / n_I + 1 / m_I))
            z_I = np.abs(good_IG[both_I, one] / n_I - good_IG[both_I, other] / m_I) / spread_I
            p_values.append(2 * norm.sf(z_I))
            owners.append(np.flatnonzero(both_I))
    if not p_values:
        return np.array([], dtype=np.int64)
    p_E, owner_E = np.concatenate(p_values), np.concatenate(owners)
    order = np.argsort(p_E)
    fails = np.flatnonzero(p_E[order] > CONTESTED / (len(order) - np.arange(len(order))))
    return np.unique(owner_E[order[: fails[0] if len(fails) else len(order)]])
