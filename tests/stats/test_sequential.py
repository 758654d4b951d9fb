from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.stats import confidence_sequence, log_capital

PAIRS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=40)


def slow_capital(
    sums: list[float], sizes: list[float], null: float, largest: float, guess: tuple[float, float, float]
) -> list[float]:
    """Written from the paper, one gambler, one bet at a time, in plain Python: shares no code with the real one.

    Waudby-Smith and Ramdas 2024: K_t = prod (1 + lambda_i (x_i - m)); aGRAPA: lambda = mean of (x - m) over the mean of
    its square, from the past only, cut at what may be lost.
    """
    expected, spread, size = guess
    most = largest * (1 + abs(null))
    past = [
        ((expected - null) * size / most, spread * size**2 / most**2 + ((expected - null) * size / most) ** 2)
    ] * 100
    capital, path = 1.0, []
    for total, cases in zip(sums, sizes, strict=True):
        first = sum(gain for gain, _ in past) / len(past)
        second = sum(square for _, square in past) / len(past)
        bet = min(max(first / second, 0.0), 0.75)
        gain = (total - null * cases) / most
        capital *= 1 + bet * gain
        path.append(math.log(capital))
        past = [*past, (gain, gain**2)]
    return path


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.floats(-0.5, 0.5), st.floats(-0.2, 0.2))
def test_the_capital_is_that_of_an_independent_slow_gambler(values: list[float], null: float, expected: float) -> None:
    ones = [1.0] * len(values)
    ours = log_capital(values, ones, null, largest=1, expected=expected, spread=0.15)
    assert ours == pytest.approx(slow_capital(values, ones, null, 1, (expected, 0.15, 1.0)), abs=1e-9)


CONFSEQ = json.loads((Path(__file__).parent / "samples" / "confseq.json").read_text())["paths"]


@pytest.mark.parametrize("path", CONFSEQ, ids=[f"null {one['null']}, hoped {one['hoped']:g}" for one in CONFSEQ])
def test_the_capital_is_that_of_confseq(path: dict[str, Any]) -> None:
    """Written by confseq 0.0.11, whose authors wrote the paper; it has no build for the Python that we need.

    Its aKelly bets estimate the variance around a running mean, ours around the null: hence the tolerance.
    """
    differences = path["differences"]
    ours = log_capital(
        differences, [1.0] * len(differences), path["null"], largest=1, expected=path["hoped"], spread=0.15
    )
    assert len(ours) == len(path["log_capital"]) >= 60
    assert ours == pytest.approx(path["log_capital"], abs=0.01)


def test_clusters_bet_as_one() -> None:
    sums, sizes = [2.0, -1.0, 0.0, 3.0], [3.0, 1.0, 2.0, 3.0]
    ours = log_capital(sums, sizes, -0.05, largest=3, expected=0.0, spread=0.15, size=2.0)
    assert ours == pytest.approx(slow_capital(sums, sizes, -0.05, 3, (0.0, 0.15, 2.0)), abs=1e-9)


def test_a_fair_game_is_fair_by_enumeration() -> None:
    """Under the null the expected capital is 1, whatever was won before: every path of ten fair bets, added up."""
    paths = np.array(np.meshgrid(*[[-1.0, 1.0]] * 10)).reshape(10, -1).T
    ends = [log_capital(path, np.ones(10), 0.0, largest=1, expected=0.1, spread=0.15)[-1] for path in paths]
    assert np.exp(ends).mean() == pytest.approx(1.0, abs=1e-12)


def test_what_comes_later_changes_nothing_of_what_was() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 0.0, 1.0], 200)
    whole = log_capital(values, np.ones(200), 0.0, largest=1, expected=0.05, spread=0.15)
    part = log_capital(values[:80], np.ones(80), 0.0, largest=1, expected=0.05, spread=0.15)
    assert whole[:80] == pytest.approx(part, abs=1e-12)


def test_betting_below_mirrors_betting_above() -> None:
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 60)
    above = log_capital(values, np.ones(60), 0.1, largest=1, expected=0.2, spread=0.15)
    below = log_capital(-values, np.ones(60), -0.1, largest=1, expected=-0.2, spread=0.15, below=True)
    assert above == pytest.approx(below, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(PAIRS, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_confidence_sequence_holds_its_mean_and_what_the_bets_have_not_ruled_out(
    values: list[float], level: float
) -> None:
    ones = np.ones(len(values))
    low, high = confidence_sequence(values, ones, largest=1, level=level)
    assert -1 <= low <= np.mean(values) <= high <= 1
    limit = math.log(2 / (1 - level))
    for null in np.linspace(-0.99, 0.99, 34):
        up, down = (
            log_capital(values, ones, null, largest=1, expected=0.0, spread=0.15, below=below).max()
            for below in (False, True)
        )
        if max(up, down) < limit:
            assert low <= null <= high


@pytest.mark.parametrize(
    ("sums", "sizes", "said"),
    [
        ([], [], "nothing to average"),
        ([float("nan")], [1.0], "not a number"),
        ([1.0], [1.0, 1.0], "1 sums and 2 sizes"),
        ([0.0], [3.0], "has 3 cases, and 2"),
        ([1.5], [1.0], "between -1 and 1"),
        ([0.0], [0.0], "has 0 cases"),
    ],
)
def test_bets_on_what_was_not_announced_are_refused(sums: list[float], sizes: list[float], said: str) -> None:
    with pytest.raises(Refused, match=said):
        log_capital(sums, sizes, 0.0, largest=2, expected=0.0, spread=0.15)
