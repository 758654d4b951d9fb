"""An error budget over many attempts, and over several hypotheses of one attempt.

In: alpha, and which attempt it is or the p-values. Out: what may be used, what is shown. Must not know what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sharpen.errors import Refused

HORIZON = 20  # chosen: attempts of a deployment's life that share one half of the budget evenly; simulated that far


def spend(alpha: float, attempt: int) -> float:
    """Return the share of `alpha` that the attempt-th decision may use; over all attempts they sum to `alpha`.

    One half is dealt evenly to the first 20 attempts, so that the twentieth can still see something; the other half
    falls as 1 / k² and never ends, so that nobody has to stop.
    Raises: Refused unless 0 < alpha < 1 and attempt >= 1.
    Source: spending: Lan and DeMets 1983, Biometrika 70:659-663; that the sum bounds the chance of any error is
    Bonferroni's inequality; that the weights 6 / (pi² k²) sum to 1 is Euler's answer to the Basel problem.

    >>> round(spend(0.05, 1), 4), round(spend(0.05, 20), 4), round(sum(spend(0.05, k) for k in range(1, 10_000)), 4)
    (0.0164, 0.0013, 0.05)
    """
    if attempt < 1 or not 0 < alpha < 1:
        raise Refused(f"Spending needs 0 < alpha < 1 and attempt >= 1; got alpha {alpha}, attempt {attempt}.")
    even = 1 / HORIZON if attempt <= HORIZON else 0.0
    return alpha * (even + 6 / (math.pi * attempt) ** 2) / 2


def holm(p_values: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """Return which of several hypotheses are rejected, so that the chance of any false one is alpha at most.

    Raises: Refused on a p-value outside 0 to 1. Source: Holm 1979, Scand. J. Stat. 6:65-70.

    >>> holm([0.01, 0.04, 0.03], 0.05)
    (True, False, False)
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise Refused(f"P-values lie between 0 and 1; got {list(p_values)}.")
    rejected = [False] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        if p_values[place] > alpha / (len(p_values) - rank):
            break
        rejected[place] = True
    return tuple(rejected)
