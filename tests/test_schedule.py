from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.config import RunSection
from sharpen.ledger import Past
from sharpen.schedule import WINDOW, Turn, spent_s, turn

NOW = datetime(2026, 6, 15, 3, 0, tzinfo=UTC)
DEPLOYED = NOW - timedelta(days=30)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def cycle(began_hours_ago: float, hours: float = 1.0, finished: bool = True, name: str = "cycle-0001") -> Past:
    """Return a pass of two stages, each half as long."""
    begin, half = ago(began_hours_ago), timedelta(hours=hours / 2)
    return Past(name, begin, finished, ((begin, begin + half), (begin + half, begin + 2 * half)))


def asked(settings: RunSection, past: list[Past], said: list[datetime]) -> Turn:
    return turn(settings, past, said, deployed=DEPLOYED, now=NOW)


def test_enough_new_feedback_begins_a_cycle_before_its_time() -> None:
    settings = RunSection(every_hours=24, min_feedback=3)
    assert asked(settings, [cycle(2)], [ago(1)] * 3).go
    waiting = asked(settings, [cycle(2)], [ago(1)] * 2 + [ago(5)])
    assert not waiting.go
    assert "2 of 3 new pieces of feedback" in waiting.why
    assert "due at 2026-06-16 01:00" in waiting.why


def test_the_clock_begins_a_cycle_only_if_anything_was_said() -> None:
    settings = RunSection(every_hours=24, min_feedback=100)
    assert asked(settings, [cycle(25)], [ago(1)]).go
    silent = asked(settings, [cycle(25)], [ago(26)])
    assert not silent.go
    assert "as soon as anything is said" in silent.why


def test_the_clock_runs_from_the_first_deployment_until_there_was_a_cycle() -> None:
    assert asked(RunSection(every_hours=24 * 29), [], [ago(1)]).go
    assert not asked(RunSection(every_hours=24 * 31), [], [ago(1)]).go


def test_nothing_begins_a_cycle_where_both_are_off() -> None:
    quiet = asked(RunSection(every_hours=0, min_feedback=0), [], [ago(1)])
    assert not quiet.go
    assert "every_hours or min_feedback" in quiet.why


def test_an_interrupted_cycle_goes_on_at_once_whatever_was_said() -> None:
    turned = asked(RunSection(), [cycle(50), cycle(2, finished=False, name="cycle-0002")], [])
    assert turned.go
    assert turned.why == "cycle-0002 was interrupted after 2 stages"


def test_a_budget_that_is_spent_stops_even_an_interrupted_cycle_and_says_until_when() -> None:
    settings = RunSection(budget_hours=3)
    turned = asked(settings, [cycle(30, hours=2), cycle(5, hours=2, finished=False)], [])
    assert not turned.go
    assert "3 hours in seven days" in turned.why
    # Four hours were spent; when the first stage of one hour is older than a week, three are, and that is not less.
    assert f"{ago(28) + WINDOW:%Y-%m-%d at %H:%M}" in turned.why


def test_money_limits_as_hours_do_and_the_lesser_counts() -> None:
    settings = RunSection(budget_hours=10, budget_usd=6, usd_per_hour=2)
    turned = asked(settings, [cycle(24, hours=2.5)], [ago(1)] * 200)
    assert turned.go
    assert turned.for_s == pytest.approx(1800)
    assert not asked(settings, [cycle(24, hours=3)], [ago(1)] * 200).go


def test_what_is_older_than_seven_days_is_forgotten_to_the_second() -> None:
    settings = RunSection(budget_hours=1)
    assert not asked(settings, [cycle(24 * 7, hours=2)], [ago(1)] * 200).why.startswith("200")
    assert asked(settings, [cycle(24 * 7 + 1.5, hours=2)], [ago(1)] * 200).for_s == pytest.approx(1800)


@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 9)), max_size=8),
    st.floats(0.1, 50),
    st.lists(st.floats(0, 400), max_size=5),
)
def test_a_cycle_that_may_begin_never_has_more_time_than_the_budget_leaves(
    cycles: list[tuple[float, float]], budget: float, said: list[float]
) -> None:
    past = [cycle(began, hours) for began, hours in sorted(cycles, reverse=True)]
    settings = RunSection(budget_hours=budget, min_feedback=1)
    turned = asked(settings, past, [ago(hours) for hours in said])
    left = 3600 * budget - spent_s(past, NOW - WINDOW)
    assert turned.for_s == (left if turned.go else float("inf"))
    assert not (turned.go and left <= 0)
