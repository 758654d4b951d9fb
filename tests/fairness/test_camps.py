from __future__ import annotations

import numpy as np
import pytest

from sharpen.fairness.camps import camps


def votes(camped: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    side = np.where(np.arange(60) < 40, 1, -1)
    item, rater = (one.ravel() for one in np.meshgrid(np.arange(30), np.arange(60)))
    shown = random.random(len(item)) < 0.6
    item, rater = item[shown], rater[shown]
    popularity, lean = random.uniform(0.2, 0.8, 30), random.choice([-1, 1], 30)
    like = np.clip(popularity[item] + camped * lean[item] * side[rater], 0, 1)
    return item, rater, (random.random(len(item)) < like).astype(float), side


def test_camps_are_found_and_who_stands_where() -> None:
    item, rater, rating, side = votes(0.4)
    found = camps(item, rater, rating, 30, 60, rounds=99)
    assert found.are_there and found.p_value == 0.01 and found.smaller == pytest.approx(1 / 3, abs=0.05)
    assert abs(float((found.side_R * side).mean())) > 0.9


def test_people_without_camps_have_none_at_the_nominal_rate() -> None:
    p_values = [camps(*votes(0.0, seed)[:3], 30, 60, rounds=19, seed=seed).p_value for seed in range(20)]
    assert sum(p <= 0.05 for p in p_values) <= 4


def test_too_few_to_tell() -> None:
    assert not camps(np.array([0, 1]), np.array([0, 1]), np.array([0.0, 1.0]), 2, 2).are_there
