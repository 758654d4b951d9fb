"""Desirability balance inside every group: a group that is mostly voted down must not be pushed down for it.

In: each row's group and whether it was found good. Out: a weight per row. Must not know the loss.

Source: KTO, Ethayarajh et al. 2024 (arXiv:2402.01306, equation 8): lambda_D n_D / (lambda_U n_U) in [1, 4/3], here kept
at 1 in each group; reweighing, Kamiran and Calders 2012: p(group) p(label) / p(group, label) with p(label) = 1/2.
"""

from __future__ import annotations

import numpy as np

from sharpen.errors import Refused


def balanced(group_N: np.ndarray, good_N: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return weights whose sums over good and bad rows are equal in every group; each group keeps its mass.

    Raises: Refused when a group has good rows alone, or bad rows alone: no weight balances what is not there.
    """
    weight_N = np.empty(len(group_N))
    for group, name in enumerate(names):
        inside_N = group_N == group
        for is_good, label in ((True, "found good"), (False, "found bad")):
            cell_N = inside_N & (good_N == is_good)
            if not cell_N.any():
                raise Refused(
                    f"Group '{name}' has no answer that was {label}: its ratings cannot be balanced.",
                    "collect more ratings from it, raise [fairness] min_group, or set [fairness] groups = false",
                )
            weight_N[cell_N] = inside_N.sum() / (2 * cell_N.sum())
    return weight_N


def desirability(good: int, bad: int) -> tuple[float, float]:
    """Return lambda_D and lambda_U for that many rows of each, where no groups are held; the smaller one is 1.

    Raises: Refused when one of them has no rows.

    >>> desirability(10, 10), desirability(30, 10), desirability(5, 20)
    ((1.0, 1.0), (1.0, 3.0), (4.0, 1.0))
    """
    if not (good and bad):
        raise Refused(
            f"KTO needs answers that were found good and such that were not; there are {good} and {bad}.",
            "collect ratings of both kinds, or use [training] method = 'sft'",
        )
    return (max(bad / good, 1.0), max(good / bad, 1.0))
