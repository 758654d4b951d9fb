"""Intervals hold the truth as often as they say: the fixed ones at the end, confidence sequences at every moment."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sharpen.stats import Floats, log_capital, mean_interval, paired_difference

Draw = Callable[[np.random.Generator], tuple[Floats, Floats, list[int] | None]]


def binary(n: int, clusters: int, gain: float, shared: float) -> Draw:
    """Paired 0/1 scores that differ on about a fifth of the cases; `shared` of a cluster moves as one."""

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats, list[int] | None]:
        place = np.arange(n) * clusters // n
        luck = np.where(rng.random(n) < shared, rng.random(clusters)[place], rng.random(n))
        won, lost = luck < 0.1 + gain / 2, luck > 0.9 + gain / 2
        return won.astype(float), lost.astype(float), None if clusters == n else place.tolist()

    return draw


def continuous(n: int, clusters: int, gain: float, shared: float) -> Draw:
    """Paired scores such as similarities: skewed, in 0 to 1, clusters with a level of their own."""

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats, list[int] | None]:
        place = np.arange(n) * clusters // n
        level = rng.normal(0, shared, clusters)[place]
        ours = np.clip(0.5 + gain / 2 + level / 2 + rng.uniform(-0.3, 0.3, n), 0, 1)
        theirs = np.clip(0.5 - gain / 2 - level / 2 + rng.uniform(-0.3, 0.3, n), 0, 1)
        return ours, theirs, place.tolist()

    return draw


WORLDS = {
    "0/1, 150 lone cases": (binary(150, 150, 0.06, 0.0), 0.06),
    "0/1, 400 lone cases": (binary(400, 400, 0.0, 0.0), 0.0),
    "0/1, 50 clusters of 5": (binary(250, 50, 0.06, 0.3), 0.06),
    "0/1, 200 clusters of 4": (binary(800, 200, 0.06, 0.5), 0.06),
    "continuous, 50 clusters of 4": (continuous(200, 50, 0.05, 0.1), 0.05),
    "continuous, 300 lone cases": (continuous(300, 300, 0.05, 0.1), 0.05),
}


def covered(draw: Draw, truth: float, trials: int, resamples: int) -> float:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(trials):
        ours, theirs, clusters = draw(rng)
        found = paired_difference(ours, theirs, clusters, resamples=resamples)
        hits += found.low - 1e-9 <= truth <= found.high + 1e-9
    return hits / trials


def check_fixed(name: str, trials: int, resamples: int) -> None:
    draw, truth = WORLDS[name]
    share = covered(draw, truth, trials, resamples)
    print(f"\n95 % interval, {name}: {share:.3f} of {trials}")
    slack = 2.6 * math.sqrt(0.05 * 0.95 / trials)
    assert 0.935 - slack <= share <= 0.97 + slack


@pytest.mark.parametrize("name", WORLDS)
def test_fixed_intervals_of_fifty_clusters_and_more_cover_as_they_say(name: str) -> None:
    check_fixed(name, 500, resamples=4000)


@pytest.mark.calibration
@pytest.mark.parametrize("name", WORLDS)
def test_fixed_intervals_cover_as_they_say_in_many_trials(name: str) -> None:
    check_fixed(name, 2000, resamples=5000)


@pytest.mark.parametrize("n", [40, 150])
def test_an_interval_of_few_changes_is_cautious(n: int) -> None:
    rng, missed, trials = np.random.default_rng(2), 0, 800
    for _ in range(trials):
        luck = rng.random(n)
        found = paired_difference((luck < 0.03).astype(float), (luck > 0.97).astype(float), level=0.95)
        missed += not found.low - 1e-9 <= 0 <= found.high + 1e-9
    assert missed / trials <= 0.07


def test_the_mean_of_clustered_scores_is_covered() -> None:
    rng, hits = np.random.default_rng(3), 0
    place = np.repeat(np.arange(60), 4)
    for _ in range(500):
        luck = np.where(rng.random(240) < 0.4, rng.random(60)[place], rng.random(240))
        found = mean_interval((luck < 0.7).astype(float), place.tolist(), resamples=1000)
        hits += found.low <= 0.7 <= found.high
    assert 0.91 <= hits / 500 <= 0.985


def always_covered(draw: Draw, truth: float, trials: int) -> float:
    """Return how often neither side's bets ever rule out the truth: then every interval on the way held it."""
    rng, hits, limit = np.random.default_rng(1), 0, math.log(2 / 0.05)
    for _ in range(trials):
        ours, theirs, clusters = draw(rng)
        place = np.arange(len(ours)) if clusters is None else np.array(clusters)
        sums, sizes = np.bincount(place, ours - theirs), np.bincount(place).astype(float)
        most = max(
            log_capital(
                sums, sizes, truth, largest=sizes.max(), expected=0.05, spread=0.15, size=sizes.mean(), below=below
            ).max()
            for below in (False, True)
        )
        hits += bool(most < limit)
    return hits / trials


@pytest.mark.parametrize("name", [name for name in WORLDS if name.startswith("0/1")])
def test_confidence_sequences_hold_at_every_moment(name: str) -> None:
    draw, truth = WORLDS[name]
    share = always_covered(draw, truth, 2000)
    print(f"\n95 % confidence sequence, {name}, looked at after every cluster: {share:.3f} of 2000")
    assert share >= 0.95
