from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharpen.fairness.duals import capped, next_multiplier, next_shares, smoothed

positive = arrays(float, st.integers(2, 6), elements=st.floats(0.01, 1))


def test_the_group_that_loses_most_gains_weight() -> None:
    target = np.array([0.5, 0.5])
    moved = next_shares(target, np.array([0.3, -0.3]), target, rate=0.5, mix=0.0, cap=3.0)
    assert moved == pytest.approx(np.exp([0.15, -0.15]) / np.exp([0.15, -0.15]).sum())


def test_a_group_that_was_not_seen_only_gives_way_to_the_others() -> None:
    target = np.full(3, 1 / 3)
    moved = next_shares(target, np.array([np.nan, 0.5, 0.0]), target, rate=0.1, mix=0.0, cap=3.0)
    assert moved[0] == pytest.approx(moved[2])
    assert moved[1] > moved[0]


def test_no_group_takes_over_however_much_it_loses() -> None:
    share = target = np.array([0.9, 0.1])
    for _ in range(200):
        share = next_shares(share, np.array([0.0, 50.0]), target, rate=0.5, mix=0.0, cap=3.0)
    assert share == pytest.approx([0.7, 0.3])


def test_the_pull_brings_weights_back_when_nobody_loses() -> None:
    target, share = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    for _ in range(60):
        share = next_shares(share, np.zeros(2), target, rate=0.05, mix=0.2, cap=3.0)
    assert share == pytest.approx(target, abs=1e-4)


def test_at_a_cap_of_one_the_weights_are_the_target() -> None:
    target = np.array([0.2, 0.3, 0.5])
    moved = next_shares(np.full(3, 1 / 3), np.array([2.0, -1.0, 0.0]), target, rate=0.5, mix=0.0, cap=1.0)
    assert moved == pytest.approx(target)


@given(positive, st.floats(1, 4), st.randoms())
def test_capped_shares_sum_to_one_within_their_limits_and_keep_the_order_of_the_free(
    share: np.ndarray, cap: float, random: object
) -> None:
    target = np.roll(share, 1) / share.sum()
    found = capped(share, cap * target)
    assert found.sum() == pytest.approx(1)
    assert (found <= cap * target + 1e-9).all()
    free = found < cap * target - 1e-9
    ratios = (found / share)[free]
    assert ratios == pytest.approx(np.full(len(ratios), ratios.mean() if len(ratios) else 0))


def test_the_price_rises_while_the_gap_is_too_wide_and_falls_after() -> None:
    price, seen = 0.5, []
    for gap in [0.5] * 10 + [0.0] * 110:
        price = next_multiplier(price, gap, tolerance=0.05, rate=0.3, most=1.5)
        seen.append(price)
    assert seen[9] == 1.5 == max(seen)
    assert seen[-1] == 0.0
    assert sorted(seen[:10]) == seen[:10] and sorted(seen[10:], reverse=True) == seen[10:]


def test_averages_begin_with_what_is_first_seen_and_keep_what_is_not_seen() -> None:
    first = smoothed(np.array([np.nan, 1.0, np.nan]), np.array([2.0, np.nan, np.nan]))
    assert first[:2].tolist() == [2.0, 1.0] and np.isnan(first[2])
    assert smoothed(np.array([1.0]), np.array([2.0])).tolist() == pytest.approx([1.1])
