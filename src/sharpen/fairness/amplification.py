"""Whether a loop amplifies: how the model's bias grows beyond the bias of what it was fed, over cycles.

In: per run and cycle the model's bias and that of its feedback, in one unit. Out: a slope with an interval. Must not
know how bias was measured.

    A_t = bias of what the model of cycle t says - bias of the feedback of cycle t

A slope that is surely above zero over four cycles or more is an alarm. A loop without any selection drifts too, so the
slope says something only beside that of a null loop. Source: the median of pairwise slopes, Theil 1950 and Sen 1968;
pairs are taken within runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 4  # chosen: cycles
ROUNDS = 2_000


@dataclass(frozen=True, slots=True)
class Amplification:
    """The slope per cycle, and its 95 % interval by a bootstrap over runs and cycles."""

    slope: float
    low: float
    high: float
    cycles: int
    is_alarm: bool


def amplification(
    model: Sequence[Sequence[float]], feedback: Sequence[Sequence[float]], *, null: float = 0.0, seed: int = 0
) -> Amplification:
    """Return the slope of A_t. `null` is the slope of the null loop, which the interval has to lie above for an alarm.

    Raises: ValueError when runs differ in length, or have fewer than two cycles.
    """
    excess_RT = np.array(model, dtype=float) - np.array(feedback, dtype=float)
    if excess_RT.ndim != 2 or excess_RT.shape[1] < 2:
        raise ValueError("runs of two cycles or more, all of one length, are needed")
    runs, cycles = excess_RT.shape
    one, other = np.triu_indices(cycles, 1)
    slopes_RE = (excess_RT[:, other] - excess_RT[:, one]) / (other - one)
    slope = float(np.median(slopes_RE))
    # Residuals around the line are drawn anew: with few cycles, pairs of slopes share points and are not independent.
    time_T = np.arange(cycles)
    level_R = np.median(excess_RT - slope * time_T, axis=1)
    rest_RT = excess_RT - slope * time_T - level_R[:, None]
    random = np.random.default_rng(seed)
    drawn_BRT = random.choice(rest_RT.ravel(), size=(ROUNDS, runs, cycles)) + slope * time_T
    drawn_B = np.median((drawn_BRT[..., other] - drawn_BRT[..., one]) / (other - one), axis=(1, 2))
    low, high = (float(one) for one in np.quantile(drawn_B, [0.025, 0.975]))
    return Amplification(slope, low, high, cycles, cycles >= FEWEST and low > null)
