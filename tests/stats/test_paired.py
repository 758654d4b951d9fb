from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sharpen.errors import Refused
from sharpen.stats import mean_interval, paired_difference, sign_flip_p

SCORES = st.sampled_from([0.0, 0.25, 1.0])
ROWS = st.lists(st.tuples(SCORES, SCORES, st.integers(0, 5)), min_size=1, max_size=30)


def split(rows: list[tuple[float, float, int]]) -> tuple[list[float], list[float], list[int]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_sign_flip_of_lone_cases_is_mcnemars_exact_test(won: int, lost: int, tied: int) -> None:
    differences = [1.0] * won + [-1.0] * lost + [0.0] * tied
    if not differences:
        return
    expected = binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0
    assert sign_flip_p(differences) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
def test_the_exact_distribution_equals_the_enumeration_of_all_signs(sums: list[int]) -> None:
    values = [float(np.sign(s)) for s in sums for _ in range(abs(s))] or [0.0]
    clusters = [index for index, s in enumerate(sums) for _ in range(abs(s))] or [0]
    patterns = [
        sum(a * b for a, b in zip(signs, sums, strict=True)) for signs in itertools.product((-1, 1), repeat=len(sums))
    ]
    assert sign_flip_p(values, clusters) == pytest.approx(np.mean([p >= sum(sums) for p in patterns]), rel=1e-9)


@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=1, max_size=9))
def test_fractional_differences_are_enumerated(values: list[float]) -> None:
    whole = [round(100 * value) for value in values]
    patterns = [
        sum(a * b for a, b in zip(signs, whole, strict=True)) for signs in itertools.product((-1, 1), repeat=len(whole))
    ]
    assert sign_flip_p(values) == pytest.approx(np.mean([p >= sum(whole) for p in patterns]), rel=1e-9)


def test_monte_carlo_agrees_with_the_exact_p_value_and_is_never_zero() -> None:
    rng = np.random.default_rng(0)
    whole = np.where(rng.random(40) < 0.7, 1.0, -1.0)
    exact = sign_flip_p(whole)
    assert sign_flip_p(whole * 0.5, resamples=100_000, seed=1) == pytest.approx(exact, rel=0.15)
    assert sign_flip_p(np.full(60, 0.5), resamples=999) == 1 / 1000


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms())
def test_the_order_of_cases_and_the_names_of_clusters_change_nothing(
    rows: list[tuple[float, float, int]], random
) -> None:
    shuffled = [(a, b, c * 7 + 1) for a, b, c in rows]
    random.shuffle(shuffled)
    (a, b, c), (x, y, z) = split(rows), split(shuffled)
    assert paired_difference(a, b, c, resamples=500) == paired_difference(x, y, z, resamples=500)
    assert mean_interval(a, c, resamples=500) == mean_interval(x, z, resamples=500)
    differences, moved = np.subtract(a, b), np.subtract(x, y)
    assert sign_flip_p(differences, c) == pytest.approx(sign_flip_p(moved, z))


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_swapping_the_arms_mirrors_effect_and_interval(rows: list[tuple[float, float, int]]) -> None:
    ours, theirs, clusters = split(rows)
    there = paired_difference(ours, theirs, clusters, resamples=4000)
    back = paired_difference(theirs, ours, clusters, resamples=4000)
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.12)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_intervals_hold_their_value_stay_in_range_and_widen_with_the_level(
    rows: list[tuple[float, float, int]],
) -> None:
    ours, theirs, clusters = split(rows)
    narrow = paired_difference(ours, theirs, clusters, level=0.8, resamples=1000)
    wide = paired_difference(ours, theirs, clusters, level=0.99, resamples=1000)
    assert -1 <= wide.low <= narrow.low + 0.05
    assert narrow.high - 0.05 <= wide.high <= 1
    assert narrow.low <= narrow.value <= narrow.high
    mean = mean_interval(ours, clusters, resamples=500)
    assert 0 <= mean.low <= mean.value <= mean.high <= 1


@given(st.integers(1, 40), st.integers(0, 40))
def test_another_win_never_makes_the_p_value_larger(won: int, lost: int) -> None:
    before = sign_flip_p([1.0] * won + [-1.0] * lost)
    assert sign_flip_p([1.0] * (won + 1) + [-1.0] * lost) <= before


@given(st.integers(20, 100), st.integers(0, 10), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_one_more_lost_case_never_raises_the_low_end(n: int, won: int, lost: int) -> None:
    def low(losses: int) -> float:
        ours = [1.0] * won + [0.0] * losses + [0.5] * (n - won - losses)
        theirs = [0.0] * won + [1.0] * losses + [0.5] * (n - won - losses)
        return paired_difference(ours, theirs, resamples=20_000).low

    if won + lost + 1 <= n:
        assert low(lost + 1) <= low(lost) + 0.01


def test_where_everything_ties_the_interval_stays_wide() -> None:
    few, many = ([1.0] * n for n in (20, 400))
    assert paired_difference(few, few).low < -0.10
    assert -0.02 < paired_difference(many, many).low < -0.005


def test_repeating_every_case_within_its_cluster_adds_no_certainty() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = (rng.random((2, 60)) < 0.5).astype(float)
    names = list(range(60))
    once = paired_difference(ours, theirs, names)
    twice = paired_difference(np.repeat(ours, 2), np.repeat(theirs, 2), np.repeat(names, 2).tolist())
    thrice = paired_difference(np.repeat(ours, 3), np.repeat(theirs, 3), np.repeat(names, 3).tolist())
    assert (thrice.low, thrice.high) == pytest.approx((twice.low, twice.high), abs=1e-9)
    assert thrice.high - thrice.low > 0.9 * (once.high - once.low)
    alone = paired_difference(np.repeat(ours, 3), np.repeat(theirs, 3))
    assert alone.high - alone.low < 0.7 * (once.high - once.low)


def test_one_cluster_says_nothing_of_others() -> None:
    assert paired_difference([1.0, 1.0], [0.0, 0.0], ["a", "a"]).low == -1.0
    interval = mean_interval([1.0, 1.0, 0.0], ["a", "a", "a"])
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert paired_difference([1.0], [0.0]).low == -1.0


def test_a_level_beyond_the_resamples_gives_the_widest_interval_not_a_confident_one() -> None:
    interval = paired_difference([0.9] * 12, [0.0] * 12, level=1 - 1e-9)
    assert (interval.low, interval.high) == (-1.0, 1.0)


def test_memory_stays_bounded_on_many_distinct_differences() -> None:
    rng = np.random.default_rng(0)
    interval = paired_difference(rng.random(3000), rng.random(3000), resamples=2000)
    assert interval.low < interval.value < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(1 / 6 / 3000), rel=0.1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mean_interval([]), "nothing to average"),
        (lambda: mean_interval([0.5, float("nan")]), "not a number"),
        (lambda: mean_interval([1.5]), "0 to 1"),
        (lambda: mean_interval([0.5], ["a", "b"]), "1 values and 2 clusters"),
        (lambda: mean_interval([0.5, 0.5], level=1.0), "between 0 and 1"),
        (lambda: paired_difference([1.0], [1.0, 0.0]), "1 and 2"),
        (lambda: paired_difference([], []), "nothing to average"),
        (lambda: sign_flip_p([]), "nothing to average"),
        (lambda: sign_flip_p([float("inf")]), "not a number"),
    ],
)
def test_input_that_means_nothing_is_refused_in_words(call, said: str) -> None:
    with pytest.raises(Refused, match=said):
        call()
