from __future__ import annotations

import numpy as np
import pytest

from sharpen.promotion.claims import Claim
from sharpen.promotion.controls import passed_null, passed_planted, too_many
from sharpen.promotion.samples import Sample

GUARD = Claim("not_worse", "general", "champion", -0.05)


def sample(n: int, *, clusters: int = 0, fractions: bool = False) -> Sample:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, n)) if fractions else (rng.random((2, n)) < 0.6).astype(float)
    places = np.arange(n) * clusters // n if clusters else None
    return Sample(ours, theirs, places)


@pytest.mark.parametrize("given", [sample(400), sample(400, clusters=80), sample(400, fractions=True)])
def test_a_sound_gate_passes_its_controls(given: Sample) -> None:
    for alpha in (0.0165, 0.05):
        assert not too_many(passed_null(given, alpha, seed=1), alpha)
        assert not too_many(passed_planted(GUARD, given, alpha, seed=1), alpha)


def test_controls_that_pass_too_often_are_noticed() -> None:
    assert too_many(0.12, 0.0165)
    assert not too_many(0.02, 0.0165)


def test_ties_and_equal_arms_pass_nothing() -> None:
    tied = Sample(np.ones(100), np.ones(100))
    assert passed_null(tied, 0.05, seed=0) == 0.0
    assert passed_planted(GUARD, tied, 0.0165, seed=0) <= 0.03


@pytest.mark.parametrize("n", [40, 60, 400])
def test_a_challenger_that_changed_every_case_fails_no_control(n: int) -> None:
    """Nothing ties then, and the loss has to be planted on cases that were won."""
    reversed_ = Sample(np.ones(n), np.zeros(n))
    for margin in (0.05, 0.15):
        claim = Claim("not_worse", "general", "champion", -margin)
        shares = [passed_planted(claim, reversed_, 0.0165, seed) for seed in range(20)]
        assert not any(too_many(share, 0.0165) for share in shares)


@pytest.mark.parametrize("ties", [0.0, 0.5, 0.9])
def test_a_planted_loss_is_the_whole_margin_and_no_more(ties: float) -> None:
    """At the margin a test of 5 % lets about 5 % pass: far fewer would mean that more was planted."""
    rng = np.random.default_rng(3)
    ours = (rng.random(2000) < 0.5).astype(float)
    theirs = np.where(rng.random(2000) < ties, ours, 1 - ours)
    shares = [passed_planted(GUARD, Sample(ours, theirs), 0.05, seed) for seed in range(20)]
    assert 0.03 <= np.mean(shares) <= 0.07
