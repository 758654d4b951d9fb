from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.stats import HORIZON, holm, spend


@given(st.floats(0.001, 0.5), st.integers(1, 400))
def test_the_budget_is_spent_in_falling_parts_and_never_exceeded(alpha: float, attempts: int) -> None:
    parts = [spend(alpha, k) for k in range(1, attempts + 1)]
    assert sum(parts) < alpha
    assert parts == sorted(parts, reverse=True)


def test_all_attempts_together_use_the_whole_budget() -> None:
    assert sum(spend(0.05, k) for k in range(1, 100_000)) == pytest.approx(0.05, rel=1e-3)


def test_the_twentieth_attempt_still_has_a_fortieth_of_the_budget() -> None:
    assert spend(0.04, HORIZON) > 0.001


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_no_less_than_bonferroni_and_the_smallest_first(p_values: list[float], alpha: float) -> None:
    shown = holm(p_values, alpha)
    for p, is_shown in zip(p_values, shown, strict=True):
        if p <= alpha / len(p_values):
            assert is_shown
        if p > alpha:
            assert not is_shown
        assert is_shown or not any(later for q, later in zip(p_values, shown, strict=True) if q > p)


def test_holm_does_what_its_paper_did() -> None:
    # Step-down at 0.05 with four hypotheses: 0.0125, 0.0167, 0.025, 0.05.
    assert holm([0.005, 0.011, 0.02, 0.04], 0.05) == (True, True, True, True)
    assert holm([0.005, 0.020, 0.02, 0.04], 0.05) == (True, False, False, False)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: spend(0.05, 0), "attempt 0"),
        (lambda: spend(1.5, 1), "alpha 1.5"),
        (lambda: holm([0.1, float("nan")], 0.05), "between 0 and 1"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(call, said: str) -> None:
    with pytest.raises(Refused, match=said):
        call()
