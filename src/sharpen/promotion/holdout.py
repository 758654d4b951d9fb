"""Held-out cases that are asked again and again: what is released of them, and how long they last.

In: comparisons, earlier verdicts. Out: rounded numbers, a reason to stop asking. Must not know models.

Three tiers. *dev* is free: look, tune, ask as often as you like. *gate* is asked through the Ladder alone: a decision,
and numbers rounded to a step that noise cannot climb. *vault* decides nothing: after a promotion the gain is estimated
on it once more, and that number is reported, for the gate's own was selected for being large.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.records import Comparison, Verdict
from sharpen.stats import HORIZON
from sharpen.stats.intervals import quantile

LEAST_STEP = 0.01  # chosen: one point, as Blum and Hardt's experiments; finer than anybody acts on


def ladder_step(one: Comparison) -> float:
    """Return the step to which a number of the gate tier is rounded: a standard error, and a point at least.

    Source: Blum and Hardt 2015, The Ladder, arXiv:1502.04585, section 3.2 (the step of the parameter-free Ladder is the
    standard error of the difference).
    """
    error = (one.high - one.low) / 2 / quantile(min(max(one.level, 1e-6), 1 - 1e-12))
    return max(LEAST_STEP, round(error, 2))


def released(value: float, step: float) -> float:
    """Return a value rounded to the nearest step.

    >>> released(0.034, 0.02)
    0.04
    """
    return round(round(value / step) * step, 6)


def worn_out(earlier: Sequence[Verdict], digests: dict[str, str]) -> str | None:
    """Say why a suite's gate tier may not decide once more; None when it may.

    What simulation shows of reuse (tests/calibration) reaches to 20 tested decisions on the same cases.
    """
    for suite, digest in digests.items():
        asked = sum(one.suites.get(suite) == digest for one in earlier if one.alpha_spent > 0)
        if asked >= HORIZON:
            return f"the cases of {suite} have decided {asked} times, and nothing is known of more; add fresh ones"
    return None
