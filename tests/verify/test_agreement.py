from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sharpen.verify.agreement import cohen_kappa, drift, share, shift


def test_kappa_is_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        truth, judged = rng.random(60) < 0.6, rng.random(60) < 0.5
        ours = cohen_kappa(judged.tolist(), truth.tolist()).value
        assert ours == pytest.approx(cohen_kappa_score(judged, truth), abs=1e-12)


def test_kappas_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    right, n = 0.85, 200  # of a fair coin: kappa is 0.7
    hits = 0
    for _ in range(1000):
        truth = rng.random(n) < 0.5
        judged = np.where(rng.random(n) < right, truth, ~truth)
        found = cohen_kappa(judged.tolist(), truth.tolist())
        hits += found.low <= 2 * right - 1 <= found.high
    assert 0.93 <= hits / 1000 <= 0.97


def test_perfect_agreement_keeps_an_interval_and_one_sided_gold_shows_nothing() -> None:
    perfect = cohen_kappa([True, False] * 50, [True, False] * 50)
    assert perfect.value == 1.0
    assert 0.9 < perfect.low < 1.0
    assert cohen_kappa([True] * 9, [True] * 9).value == 0.0
    assert cohen_kappa([], []).n == 0


def test_a_share_has_its_exact_interval_at_the_ends_too() -> None:
    assert share(100, 100).low == pytest.approx(0.9638, abs=1e-4)
    assert (share(0, 10).low, share(0, 0).high) == (0.0, 1.0)


def test_a_shift_is_tested_on_the_side_that_was_asked_for() -> None:
    down = np.random.default_rng(2).normal(-0.3, 0.5, 100).tolist()
    assert shift(down).p_value > 0.99
    assert shift(down, two_sided=True).p_value < 0.001
    assert (shift([0.0] * 9).p_value, shift([0.1] * 9).p_value, shift([0.1]).p_value) == (1.0, 0.0, 1.0)


def test_a_judge_that_got_worse_is_found_and_one_that_did_not_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    worse = sum(drift(0.9, (rng.random(300) < 0.75).tolist()) is not None for _ in range(200))
    same = sum(drift(0.9, (rng.random(300) < 0.9).tolist()) is not None for _ in range(400))
    assert worse >= 190
    assert same / 400 <= 0.08  # 5 %, and two standard errors of 400 runs
    assert drift(0.9, []) is None
