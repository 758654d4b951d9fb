"""The rule: what follows from the claims, in one word and one sentence.

In: Comparisons with their states. Out: promote, hold or reject, and why. Must not know scores or tests.

Promotion needs every claim: of several targets at least one gain, and every guard. A guard that has too few cases to
resolve its margin is unarmed; then promotion needs `allow_unarmed`, and a loss that is not beyond the margin.
Numbers in the sentence are rounded as the Ladder releases them (`holdout.py`); the record keeps them whole for audit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.promotion.claims import title
from sharpen.promotion.holdout import ladder_step, released
from sharpen.records import Comparison, Decision, Vital


@dataclass(frozen=True)
class Ruling:
    """What was decided, why, which guards are unarmed, and how many more cases would probably decide."""

    decision: Decision
    reason: str
    unarmed: tuple[str, ...] = ()
    more_cases: int | None = None


def judge(comparisons: Sequence[Comparison], *, allow_unarmed: bool = False) -> Ruling:
    """Apply the rule."""
    gains = [one for one in comparisons if one.claim == "better"]
    won = {one.suite for one in gains} - {one.suite for one in gains if one.state != "passed"}
    faults = [one for one in comparisons if _is_fault(one, won, allow_unarmed)]
    unarmed = tuple(dict.fromkeys(_place(one) for one in comparisons if one.state == "unarmed"))
    if not faults:
        return Ruling("promote", _promotion(comparisons, gains, won, unarmed), unarmed)
    faults.sort(key=_weight)
    worst, more = faults[0], len({(one.suite, one.against, one.group) for one in faults}) - 1
    decision: Decision = "reject" if worst.state == "failed" else "hold"
    reason = _fault(worst) + (f"; {more} more condition{'s' if more > 1 else ''} failed" if more else "")
    counts = [one.more_cases for one in faults]
    needed = None if None in counts or decision == "reject" else max(filter(None, counts), default=None)
    if needed:
        reason += f"; {needed:,} more cases would probably decide"
    return Ruling(decision, reason, unarmed, needed)


def stopped(ruling: Ruling, vitals: Sequence[Vital], stop_on: Sequence[str]) -> Ruling:
    """Hold a promotion where a sign on the cycle's page alarms, of those that stop."""
    alarms = [f"{one.name}: {one.value:g}" for one in vitals if one.state == "alarm" and one.sign in stop_on]
    if ruling.decision != "promote" or not alarms:
        return ruling
    return Ruling("hold", f"the cycle's page alarms ({'; '.join(alarms)}); otherwise {ruling.reason}", ruling.unarmed)


def _is_fault(one: Comparison, won: set[str], allow_unarmed: bool) -> bool:
    if one.state == "passed" or (one.claim == "better" and won and one.suite not in won and one.state != "failed"):
        return False
    if one.state == "unarmed" and allow_unarmed:
        return one.effect <= one.boundary
    return True


def _weight(one: Comparison) -> tuple[int, int]:
    order = {"failed": 0, "futile": 1, "open": 2, "unarmed": 3}
    return order.get(one.state, 2) if one.state == "failed" else 1, 0 if one.claim == "better" else order[one.state]


def _promotion(
    comparisons: Sequence[Comparison], gains: Sequence[Comparison], won: set[str], unarmed: Sequence[str]
) -> str:
    shown = [one for one in gains if one.suite in won]
    told = ", and ".join(_shown(one, is_first=place == 0) for place, one in enumerate(shown))
    guards = [one for one in comparisons if one.claim == "not_worse" and one.state == "passed"]
    if guards:
        least, most = min(-one.boundary for one in guards), max(-one.boundary for one in guards)
        margin = _points(most, sign=False) if least == most else f"{100 * least:g} to {_points(most, sign=False)}"
        told += f"; no guard lost {margin} or more"
    if any(one.claim == "floor" for one in comparisons):
        told += "; every floor is kept"
    if unarmed:
        told += f"; unarmed, as allowed: {', '.join(unarmed)}"
    return told


def _fault(one: Comparison) -> str:
    """Say what is missing."""
    shown, place = _shown(one), _place(one)
    if one.claim == "floor":
        verb = "is below" if one.state == "failed" else "may be below"
        return f"{place} {verb} its floor of {100 * one.boundary:g} %: {shown}"
    if one.claim == "better":
        return _no_gain(one, shown)
    limit = _points(-one.boundary, sign=False)
    if one.state == "failed":
        return f"guard {place} lost more than {limit}: {shown}"
    if one.state == "unarmed":
        reach = _points(one.resolves or 1.0, sign=False)
        return (
            f"guard {place} is unarmed: its {one.n} cases resolve {reach}, its margin is {limit}; add cases, or set "
            "[promotion] allow_unarmed"
        )
    return f"guard {place} may have lost {limit} or more: {shown}, {one.n} cases"


def _no_gain(one: Comparison, shown: str) -> str:
    if one.state == "failed":
        return f"worse than the {title(one.against)}: {shown}"
    if one.state == "futile":
        return f"stopped after {one.n} of {one.planned} cases, a gain is out of reach: {shown}"
    if one.effect <= 0:
        return f"no gain: {shown}"
    needed = f", and must clear {_points(one.boundary)}" if one.boundary else ""
    return f"not enough evidence yet: {shown}{needed}"


def _place(one: Comparison) -> str:
    return f"{one.suite} [{one.group}]" if one.group else one.suite


def _shown(one: Comparison, *, is_first: bool = True) -> str:
    """Return a comparison as words: effect and interval in points, i.e. hundredths of the score, rounded to a step."""
    step = ladder_step(one)
    level = math.floor(1000 * one.level + 1e-9) / 10
    place = f" on {_place(one)}" if is_first else ""
    low = 100 * max(-1.0, math.floor(one.low / step) * step)  # outwards
    high = 100 * min(1.0, math.ceil(one.high / step) * step)
    return (
        f"{_points(released(one.effect, step))}{place} over the {title(one.against)} "
        f"({level:g} % interval {low:+.0f} to {high:+.0f}, in steps of {100 * step:.0f})"
    )


def _points(share: float, *, sign: bool = True) -> str:
    return f"{100 * share:{'+' if sign else ''}.3g} points"
