"""Scores side by side: which cases count, and what they add up to.

In: Score records. Out: arrays for the statistics. Must not know how a score was made, or what is decided on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.errors import Refused
from sharpen.records import Score
from sharpen.stats import Floats, Interval, mean_interval

MAX_ERROR_SHARE = 0.05  # chosen: as much as a guard may lose; what is left out could hide no more than that


@dataclass(frozen=True)
class Pairs:
    """The values of two arms on the same cases, position by position, and how many cases were left out."""

    first: Floats
    second: Floats
    clusters: tuple[str, ...]
    unscored: int


def summary(scores: Sequence[Score], *, level: float = 0.95) -> Interval:
    """Return the mean of the scored cases and its interval. Raises: Refused when none is scored."""
    scored = [score for score in scores if score.value is not None]
    values = [score.value for score in scored if score.value is not None]
    return mean_interval(np.array(values), [score.cluster for score in scored], level=level)


def pair(first: Sequence[Score], second: Sequence[Score], *, max_error_share: float = MAX_ERROR_SHARE) -> Pairs:
    """Return the cases that are scored on both sides, in the order of their ids.

    Raises: Refused when more than `max_error_share` of all cases is unscored on a side, or when a case is there twice.
    """
    ours, theirs = _by_case(first), _by_case(second)
    every = sorted(ours.keys() | theirs.keys())
    values, clusters = [], []
    for case_id in every:
        mine, yours = ours.get(case_id), theirs.get(case_id)
        if mine is None or yours is None or mine.value is None or yours.value is None:
            continue
        values.append((mine.value, yours.value))
        clusters.append(mine.cluster)
    unscored = len(every) - len(values)
    if unscored > max_error_share * len(every):
        reason = next((score.reason for score in (*first, *second) if score.value is None and score.reason), "not run")
        raise Refused(
            f"{unscored} of {len(every)} cases are not scored on both sides ({reason}); at most "
            f"{max_error_share:.0%} may be missing",
            "read the scores' reasons, repair their cause, and evaluate again",
        )
    table = np.array(values, dtype=np.float64).reshape(-1, 2)
    return Pairs(first=table[:, 0], second=table[:, 1], clusters=tuple(clusters), unscored=unscored)


def _by_case(scores: Sequence[Score]) -> dict[str, Score]:
    found = {score.case_id: score for score in scores}
    if len(found) != len(scores):
        raise Refused("A case is scored twice in one arm: scores of several evaluations are mixed.")
    return found
