from __future__ import annotations

import numpy as np
import pytest

from sharpen.fairness.reliability import contested, on_gold, one_coin
from sharpen.fairness.weights import NEW_SOURCE, TRUSTED


def ratings(accuracy: dict[int, float], items: int = 200, seed: int = 0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, items)
    item = np.tile(np.arange(items), len(accuracy))
    rater = np.repeat(np.array(list(accuracy)), items)
    right = random.random(len(item)) < np.array([accuracy[one] for one in rater])
    return item, rater, np.where(right, truth[item], 1 - truth[item]), truth


def test_who_answers_at_random_never_earns_trust_and_who_agrees_five_times_does() -> None:
    trust = on_gold(np.array([0, 5, 500, 0]), np.array([0, 5, 1000, 10]))
    assert trust[0] == pytest.approx(NEW_SOURCE) and trust[1] >= TRUSTED
    assert trust[2] < 0.01 and trust[3] < NEW_SOURCE


def test_the_accuracy_of_every_rater_is_found_without_known_answers() -> None:
    wanted = {0: 0.95, 1: 0.9, 2: 0.8, 3: 0.7, 4: 0.55}
    item, rater, label, truth = ratings(wanted)
    accuracy, good = one_coin(item, rater, label, 6)
    assert accuracy[:5] == pytest.approx(list(wanted.values()), abs=0.08) and np.isnan(accuracy[5])
    assert ((good[: len(truth)] > 0.5) == (truth == 1)).mean() > 0.9


def test_a_minority_that_sees_it_otherwise_makes_errors_only_when_groups_are_forgotten() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 100)
    group = np.array([0] * 12 + [1] * 6)  # the minority holds the opposite of everything, consistently
    item, rater = np.tile(np.arange(100), 18), np.repeat(np.arange(18), 100)
    label = np.where(random.random(1800) < 0.9, truth[item] ^ group[rater], 1 - (truth[item] ^ group[rater]))
    together, _ = one_coin(item, rater, label, 18)
    apart, _ = one_coin(item, rater, label, 18, group)
    assert together[12:].max() < 0.25 and apart[12:].min() > 0.75
    assert len(contested(item, group[rater], label)) > 5


def test_groups_that_agree_contest_nothing() -> None:
    item, rater, label, _ = ratings(dict.fromkeys(range(20), 0.8))
    assert len(contested(item, rater % 2, label)) <= 1
    assert len(contested(np.array([], dtype=int), np.array([], dtype=int), np.array([]))) == 0
