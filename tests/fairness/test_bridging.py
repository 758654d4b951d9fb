from __future__ import annotations

import numpy as np

from sharpen.fairness.bridging import bridging


def votes(seed: int = 0, brigade: int = 0) -> tuple[np.ndarray, ...]:
    """40 items: 10 that everybody likes, 10 nobody does, 20 partisan ones; 80 % of 200 raters are of one side."""
    random = np.random.default_rng(seed)
    side = np.concatenate([np.where(np.arange(200) < 160, 1, -1), np.ones(brigade, dtype=int)])
    item, rater = np.meshgrid(np.arange(40), np.arange(len(side)))
    item, rater = item.ravel(), rater.ravel()
    shown = random.random(len(item)) < 0.5
    item, rater = item[shown], rater[shown]
    lean = np.where(item < 20, 0, np.where(item < 30, 1, -1))
    like = np.where(item < 10, 0.9, np.where(item < 20, 0.1, 0.5 + 0.45 * lean * side[rater]))
    rating = (random.random(len(item)) < like).astype(float)
    return item, rater, rating, side


def test_a_majority_does_not_vote_its_own_side_s_items_up() -> None:
    item, rater, rating, side = votes()
    found = bridging(item, rater, rating, 40, len(side))
    mean = np.bincount(item, weights=rating) / np.bincount(item)
    assert mean[20:30].min() > 0.6  # by the mean, partisan items stand near the best
    assert found.worth_I[:10].min() > found.worth_I[20:].max() > found.worth_I[20:].min() > found.worth_I[10:20].max()
    assert np.abs(found.lean_I[20:]).min() > 2 * np.abs(found.lean_I[:20]).max()
    assert abs(np.corrcoef(found.view_R, side)[0, 1]) > 0.95


def test_a_brigade_of_one_side_moves_worth_by_less_than_it_moves_the_mean() -> None:
    few, many = votes(), votes(brigade=60)
    worth = [
        bridging(item, rater, rating, 40, len(side)).worth_I[20:30].mean() for item, rater, rating, side in (few, many)
    ]
    assert abs(worth[1] - worth[0]) < 0.1


def test_an_item_that_few_rated_is_not_told_and_the_result_is_the_same_on_every_run() -> None:
    item, rater, rating, side = votes()
    one = bridging(item, rater, rating, 41, len(side))
    assert np.isnan(one.worth_I[40])
    assert np.array_equal(one.worth_I, bridging(item, rater, rating, 41, len(side)).worth_I, equal_nan=True)
