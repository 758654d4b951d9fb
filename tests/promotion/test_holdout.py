from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sharpen.promotion.holdout import LEAST_STEP, ladder_step, released, worn_out
from sharpen.records import Comparison, Verdict
from sharpen.stats import HORIZON


def comparison(low: float, high: float) -> Comparison:
    return Comparison(
        against="champion", suite="s", n=100, challenger=0.5, other=0.4, effect=0.1, low=low, high=high, level=0.95,
        p_value=0.01,
    )  # fmt: skip


def test_a_step_is_a_standard_error_and_a_point_at_least() -> None:
    assert ladder_step(comparison(0.02, 0.18)) == 0.04
    assert ladder_step(comparison(0.099, 0.101)) == LEAST_STEP


@given(st.floats(-1, 1), st.floats(0.01, 0.3))
def test_what_is_released_is_within_half_a_step_and_on_the_ladder(value: float, step: float) -> None:
    shown = released(value, step)
    assert abs(shown - value) <= step / 2 + 1e-6
    assert released(shown, step) == shown


def test_two_numbers_within_a_step_are_released_alike() -> None:
    assert released(0.031, 0.04) == released(0.049, 0.04) == 0.04


def test_cases_that_decided_twenty_times_may_not_decide_again() -> None:
    earlier = [
        Verdict(
            id=f"vdt_{n}", cycle_id=f"c{n}", champion_id="a", challenger_id="b", decision="hold", reason="Hold.",
            comparisons=(), alpha_spent=0.001, attempt=n + 1, suites={"inbox": "d1"},
        )
        for n in range(HORIZON)
    ]  # fmt: skip
    assert worn_out(earlier[1:], {"inbox": "d1"}) is None
    assert "decided 20 times" in (worn_out(earlier, {"inbox": "d1"}) or "")
    assert worn_out(earlier, {"inbox": "d2"}) is None
