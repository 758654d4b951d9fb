"""Is the canary worse than the champion, on the traffic that both answer at the same time?

In: what users met since the canary began. Out: the evidence of harm so far, valid at whatever moment it is looked at.
Must not know the store, or what follows from it.

Answers of both versions are compared in blocks: as soon as both have been seen again, the mean of the canary's minus
the mean of the champion's is one difference. Both sides of a block are from the same minutes, so that a busy hour or a
change of share harms neither. Against each kind of harm a betting e-process is played (`stats.sequential`); looking
after every difference costs nothing. Ratings take half of alpha, the three guards the other half.

Which version answers is drawn by session, so ratings count once per session: its first one. Errors, refusals and slow
answers count once per exchange; their margins leave room for a session that repeats itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from sharpen.config import RolloutSection
from sharpen.monitoring.live import Exchange, Rating
from sharpen.stats import log_capital

Kind = Literal["ratings", "errors", "refusals", "latency"]

_ALPHA_SHARES: dict[Kind, float] = {"ratings": 1 / 2, "errors": 1 / 6, "refusals": 1 / 6, "latency": 1 / 6}
_HARM = 0.1  # chosen: loss of rating, 0-1, that the first bets count on; wrong guesses cost time, never validity
_SPREAD = 0.2  # chosen: variance of a block's difference; thumbs that are good in 7 of 10 have 0.21
_BEYOND = 0.1  # chosen: excess over a guard's margin that the first bets count on
_SLOW_SHARE = 0.05  # by definition: one answer in twenty is slower than the 95th percentile


@dataclass(frozen=True, slots=True)
class Harm:
    """The evidence of one kind of harm."""

    kind: Kind
    ours: int  # observations of the canary
    theirs: int
    difference: float  # mean of the canary's minus mean of the champion's
    log_evidence: float  # log of the most capital so far
    log_now: float  # log of the capital now; above 0 the evidence points to harm
    is_shown: bool

    @property
    def told(self) -> str:
        """The evidence in words."""
        what = {"ratings": "rating", "errors": "error share", "refusals": "refusal share", "latency": "slow share"}
        points = 100 * self.difference
        return f"{what[self.kind]} {points:+.1f} points on {self.ours} against {self.theirs}"


class Rated(NamedTuple):
    """A session's first rating."""

    version_id: str
    value: float  # 0-1
    at_s: float


@dataclass(frozen=True, slots=True)
class Observed:
    """What users met of two versions, in the order of time."""

    exchanges: tuple[Exchange, ...]
    ratings: tuple[Rated, ...]  # one per session

    def of(self, version_id: str, since_s: float) -> tuple[int, int]:
        """Return how many exchanges a version had since a moment, and how many rated sessions."""
        exchanges = sum(one.version_id == version_id and one.at_s >= since_s for one in self.exchanges)
        return exchanges, sum(one.version_id == version_id and one.at_s >= since_s for one in self.ratings)


def observe(exchanges: Iterable[Exchange], ratings: Iterable[Rating], versions: set[str]) -> Observed:
    """Put what was read in order: exchanges by their end, of each session's ratings the first."""
    mine = {one.id: one for one in exchanges if one.version_id in versions}
    rated: dict[str, Rated] = {}
    for rating in sorted(ratings, key=lambda one: one.at_s):
        if (exchange := mine.get(rating.trace_id)) is not None:
            rated.setdefault(exchange.session, Rated(exchange.version_id, rating.value, rating.at_s))
    done = sorted((one for one in mine.values() if one.is_over), key=lambda one: one.at_s)
    return Observed(tuple(done), tuple(rated.values()))


def weigh(seen: Observed, challenger_id: str, settings: RolloutSection, slow_s: float | None) -> list[Harm]:
    """Return the evidence of each kind of harm. `slow_s` is what the champion's 95th percentile allows; None: unknown.

    Source of the e-process: Waudby-Smith and Ramdas 2024, JRSS B 86:1-27; that it may be looked at always: Ville 1939.
    """
    is_ours = [one.version_id == challenger_id for one in seen.exchanges]
    answered = [one for one in seen.exchanges if not one.has_failed]
    ours_answered = [one.version_id == challenger_id for one in answered]
    rated = [one.version_id == challenger_id for one in seen.ratings]
    alpha, failed = settings.alpha, [float(one.has_failed) for one in seen.exchanges]
    refused = [float(one.is_refusal) for one in answered]
    found = [
        _harm("ratings", rated, [one.value for one in seen.ratings], 0.0, alpha),
        _harm("errors", is_ours, failed, settings.error_margin, alpha),
        _harm("refusals", ours_answered, refused, settings.refusal_margin, alpha),
    ]
    if slow_s is not None:
        slow = [float(one.latency_s > slow_s) for one in answered]
        found.append(_harm("latency", ours_answered, slow, _SLOW_SHARE, alpha))
    return found


def slow_limit(latencies: Sequence[float], settings: RolloutSection) -> float | None:
    """Return the seconds beyond which an answer is slow, from the champion's before the canary began.

    None where there are too few to know a 95th percentile.
    """
    if len(latencies) < settings.min_requests:
        return None
    return settings.latency_factor * float(np.quantile(np.asarray(latencies), 1 - _SLOW_SHARE))


def _harm(kind: Kind, is_ours: Sequence[bool], values: Sequence[float], margin: float, alpha: float) -> Harm:
    ours = [value for mine, value in zip(is_ours, values, strict=True) if mine]
    theirs = [value for mine, value in zip(is_ours, values, strict=True) if not mine]
    gaps = blocks(is_ours, values)
    most = last = 0.0
    if gaps:
        # A loss of rating is harm; of everything else more is harm.
        is_loss = kind == "ratings"
        null, expected = (0.0, -_HARM) if is_loss else (margin, margin + _BEYOND)
        path = log_capital(
            gaps, [1.0] * len(gaps), null, largest=1, expected=expected, spread=_SPREAD, below=is_loss
        )  # fmt: skip
        most, last = max(0.0, float(path.max())), float(path[-1])
    difference = float(np.mean(ours) - np.mean(theirs)) if ours and theirs else 0.0
    is_shown = most >= -math.log(alpha * _ALPHA_SHARES[kind])
    return Harm(kind, len(ours), len(theirs), difference, most, last, is_shown)


def blocks(is_ours: Sequence[bool], values: Sequence[float]) -> list[float]:
    """Return one difference per block: the shortest stretch of time in which both versions answered.

    >>> blocks([False, False, True, True, False], [0.0, 1.0, 1.0, 0.0, 1.0])
    [0.5, -1.0]
    """
    gaps: list[float] = []
    sums, counts = [0.0, 0.0], [0, 0]
    for mine, value in zip(is_ours, values, strict=True):
        sums[mine] += value
        counts[mine] += 1
        if all(counts):
            gaps.append(sums[True] / counts[True] - sums[False] / counts[False])
            sums, counts = [0.0, 0.0], [0, 0]
    return gaps
