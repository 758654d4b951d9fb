"""Does the gate's own arithmetic work on these very scores? Two controls in every cycle, at no generation.

In: the paired cases of a claim, alpha. Out: the share of controls that came through. Must not know the decision.

*A/A*: the arms of each cluster are swapped at random, so that neither is better; a gain is then shown by chance alone.
*Planted*: the same swapped arms, and the challenger loses the margin on random cases; a guard must not pass it.
More passing than alpha explains means that the gate's assumptions fail here, and the cycle holds.
Whole-number scores of lone cases meet the gate's very test; others its normal approximation, for resampling hundreds of
controls would cost more than the gate.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

from sharpen.promotion.claims import Claim
from sharpen.promotion.samples import Sample
from sharpen.stats import sign_flip_p
from sharpen.stats.intervals import tango_z

ROUNDS = 200  # chosen: shows a gate that passes twice what it should, in milliseconds
_BEYOND = 0.999  # chosen: a sound gate fails its controls once in a thousand

__all__ = ["ROUNDS", "passed_null", "passed_planted", "too_many"]


def passed_null(sample: Sample, alpha: float, seed: int) -> float:
    """Return the share of A/A pairs on which a gain was shown at `alpha`."""
    sums, _ = sample.by_cluster
    rng = np.random.default_rng(seed)
    swapped = rng.choice((-1.0, 1.0), size=(ROUNDS, len(sums))) * sums
    if bool(np.equal(sums, np.rint(sums)).all()):
        shown: dict[float, bool] = {}
        for row in swapped:
            total = float(row.sum())
            if total not in shown:
                shown[total] = total > 0 and sign_flip_p(row) <= alpha
        return float(np.mean([shown[float(row.sum())] for row in swapped]))
    error = math.sqrt(float((sums**2).sum()))
    return float(np.mean(swapped.sum(axis=1) > -float(ndtri(alpha)) * error)) if error else 0.0


def passed_planted(claim: Claim, sample: Sample, alpha: float, seed: int) -> float:
    """Return the share of planted losses of the whole margin that a guard let pass at `alpha`."""
    margin, z = -claim.boundary, -float(ndtri(alpha))
    sums, sizes = sample.by_cluster
    rng = np.random.default_rng(seed)
    signs = rng.choice((-1.0, 1.0), size=(ROUNDS, len(sums)))
    if bool(np.isin(sums, (-1.0, 0.0, 1.0)).all()) and sizes.max() == 1:
        won = ((signs * sums) > 0).sum(axis=1)
        changed = int(np.abs(sums).sum())
        # Every case, whatever its outcome, turns into a loss with the margin's chance: the mean falls to just -margin.
        kept = rng.binomial(won, 1 - margin)
        lost = changed - kept + rng.binomial(len(sums) - changed, margin, ROUNDS)
        won = kept
        return float(np.mean([tango_z(w, x, len(sums), -margin) > z for w, x in zip(won, lost, strict=True)]))
    lost = rng.binomial(sizes.astype(np.int64), margin, size=(ROUNDS, len(sums)))
    left = signs * sums - lost + margin * sizes
    error = np.sqrt((left**2).sum(axis=1))
    return float(np.mean(left.sum(axis=1) > z * error))


def too_many(share: float, alpha: float) -> bool:
    """Tell whether so many controls came through that alpha cannot explain it."""
    return round(share * ROUNDS) > int(binom.ppf(_BEYOND, ROUNDS, min(1.0, alpha)))
