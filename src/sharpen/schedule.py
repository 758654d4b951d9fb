"""When the next cycle is due, and whether the budget lets it begin.

In: the `[run]` section, what the ledger remembers, the moments of the newest feedback. Out: a Turn: go, or wait, and
why. Must not know what a cycle does, or start one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sharpen.config import RunSection
from sharpen.ledger import Past

WINDOW = timedelta(days=7)  # chosen: a budget by the week evens out a night that took long


@dataclass(frozen=True)
class Turn:
    """What to do now: go, for at most `for_s` seconds of whole stages, or wait."""

    go: bool
    why: str
    for_s: float = float("inf")


def turn(
    settings: RunSection, past: Sequence[Past], said: Sequence[datetime], *, deployed: datetime, now: datetime
) -> Turn:
    """Tell whether a cycle is due. A budget that is spent comes first, then a cycle that was interrupted.

    `said` holds when the newest pieces of feedback came, at least `min_feedback` of them if there are so many;
    `deployed` is when version 0 was, from which the clock runs until there has been a cycle.
    """
    left_s = _left_s(settings, past, now)
    if left_s <= 0:
        return Turn(False, f"the budget of {_budget(settings)} is spent; {_room(settings, past, now)}")
    interrupted = next((one for one in past if not one.is_finished), None)
    if interrupted is not None:
        return Turn(True, f"{interrupted.pass_id} was interrupted after {len(interrupted.steps)} stages", left_s)
    since = past[-1].began if past else deployed
    new = sum(moment > since for moment in said)
    if settings.min_feedback and new >= settings.min_feedback:
        return Turn(True, f"{new} new pieces of feedback", left_s)
    waited = now - since
    is_time = settings.every_hours > 0 and waited >= timedelta(hours=settings.every_hours)
    if is_time and new:
        return Turn(True, f"{_hours(waited)} since the last began, and {new} new pieces of feedback", left_s)
    return Turn(False, _waiting(settings, since, new, now))


def spent_s(past: Sequence[Past], since: datetime) -> float:
    """Return the seconds of finished stages after a moment. A stage that was killed half way is not in the ledger."""
    steps = [step for one in past for step in one.steps]
    return sum(max(0.0, (end - max(begin, since)).total_seconds()) for begin, end in steps)


def _limit_s(settings: RunSection) -> float:
    """Return the seconds that hours and money allow, whichever is less."""
    hours = [settings.budget_hours] if settings.budget_hours else []
    if settings.budget_usd and settings.usd_per_hour:
        hours.append(settings.budget_usd / settings.usd_per_hour)
    return 3600 * min(hours, default=float("inf"))


def _left_s(settings: RunSection, past: Sequence[Past], now: datetime) -> float:
    return _limit_s(settings) - spent_s(past, now - WINDOW)


def _room(settings: RunSection, past: Sequence[Past], now: datetime) -> str:
    """Say when enough stages will be older than the window."""
    for _, end in sorted(step for one in past for step in one.steps):
        if end + WINDOW > now and spent_s(past, end) < _limit_s(settings):
            return f"there is room again on {end + WINDOW:%Y-%m-%d at %H:%M} UTC"
    return "raise it in [run]"


def _budget(settings: RunSection) -> str:
    hours = f"{settings.budget_hours:g} hours" if settings.budget_hours else ""
    dollars = f"{settings.budget_usd:g} dollars" if settings.budget_usd and settings.usd_per_hour else ""
    return f"{' and '.join(filter(None, (hours, dollars)))} in seven days"


def _waiting(settings: RunSection, since: datetime, new: int, now: datetime) -> str:
    enough = f"{new} of {settings.min_feedback} new pieces of feedback" if settings.min_feedback else ""
    clock = ""
    if settings.every_hours > 0:
        at = since + timedelta(hours=settings.every_hours)
        clock = f"the next is due at {at:%Y-%m-%d %H:%M} UTC" if at > now else "one is due as soon as anything is said"
    return (
        "; ".join(filter(None, (enough, clock))) or "nothing begins a cycle: set every_hours or min_feedback in [run]"
    )


def _hours(waited: timedelta) -> str:
    return f"{waited.total_seconds() / 3600:.1f} hours"
