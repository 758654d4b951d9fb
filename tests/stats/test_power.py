from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.stats import cases_for, conditional_power, power_of
from sharpen.stats.power import spread_of


@given(st.floats(0.5, 0.99), st.floats(0.01, 0.3), st.floats(0.05, 0.5), st.floats(0.0005, 0.2))
def test_the_cases_that_are_asked_for_have_the_power_that_was_asked_for(
    power: float, effect: float, spread: float, alpha: float
) -> None:
    cases = cases_for(power, effect, 0.0, spread, alpha)
    assert cases is not None
    assert power_of(cases, effect, 0.0, spread, alpha) >= power - 1e-9
    assert cases <= 2 or power_of(cases - 2, effect, 0.0, spread, alpha) < power


def test_no_number_of_cases_shows_what_is_not_there() -> None:
    assert cases_for(0.8, 0.0, 0.0, 0.15, 0.05) is None
    assert power_of(0, 0.1, 0.0, 0.15, 0.05) == 0


def test_power_is_what_simulation_finds() -> None:
    rng, n = np.random.default_rng(0), 1030
    differences = rng.normal(0.0, np.sqrt(0.15), size=(4000, n)).mean(axis=1)
    found = float(np.mean(differences > -0.03 + 1.645 * np.sqrt(0.15 / n)))
    assert found == pytest.approx(power_of(n, 0.0, -0.03, 0.15, 0.05), abs=0.02)


def test_the_spread_of_clusters_counts_what_moves_together() -> None:
    rng = np.random.default_rng(0)
    alone = rng.choice([-1.0, 0.0, 1.0], 4000, p=[0.1, 0.8, 0.1])
    together = np.repeat(alone[:1000], 4)
    assert spread_of(alone, np.ones(4000)) == pytest.approx(0.2, rel=0.1)
    assert spread_of(together.reshape(1000, 4).sum(axis=1), np.full(1000, 4.0)) == pytest.approx(0.8, rel=0.1)


def test_a_few_ties_are_not_certainty() -> None:
    assert spread_of(np.zeros(30), np.ones(30)) > 0.05


def test_the_forecast_falls_with_bad_luck_and_ends_at_the_facts() -> None:
    def chance(estimate: float, seen: float) -> float:
        return conditional_power((seen, 1000), estimate, 0.05, boundary=0.0, spread=0.15, alpha=0.01)

    assert chance(0.05, 100) > chance(0.0, 100) > chance(-0.05, 100)
    assert chance(0.0, 100) > chance(0.0, 500) > chance(0.0, 900)
    assert (chance(0.05, 1000), chance(0.0, 1000)) == (1.0, 0.0)
    assert chance(0.05, 1e-9) == pytest.approx(power_of(1000, 0.05, 0.0, 0.15, 0.01), abs=1e-3)
