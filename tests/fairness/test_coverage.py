from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.fairness.coverage import cover, ndcg


def test_on_a_corpus_of_nine_to_one_both_are_heard_at_almost_no_loss() -> None:
    random = np.random.default_rng(0)
    names = ["major"] * 900 + ["minor"] * 100
    heard, plain, losses = [], [], []
    for _ in range(200):
        relevance = np.clip(random.beta(2, 5, 1000) + 0.25 * (random.random(1000) < 0.05), 0, 1)
        found = cover(relevance, names, 10)
        top = np.argsort(-relevance)[:10]
        plain.append(len({names[at] for at in top}) / 2)
        heard.append(found.coverage)
        losses.append(1 - ndcg(relevance[found.chosen].tolist(), relevance.tolist(), 10))
    assert np.mean(heard) >= 0.95 and np.mean(losses) <= 0.03
    assert np.mean(plain) < 0.9  # without the floor, the minority is often not among the ten


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcd")), max_size=30), st.integers(4, 10))
def test_no_more_than_k_the_best_first_and_every_able_perspective_heard(rows: list[tuple[float, str]], k: int) -> None:
    relevance = np.array([row[0] for row in rows])
    found = cover(relevance, [row[1] for row in rows], k)
    assert len(found.chosen) == min(k, len(rows)) == len(set(found.chosen))
    assert relevance[found.chosen].tolist() == sorted(relevance[found.chosen].tolist(), reverse=True)
    assert found.coverage == 1.0


def test_who_has_nothing_to_say_is_not_made_to() -> None:
    found = cover(np.array([0.9, 0.8, 0.7, 0.1]), ["a", "a", "a", "b"], 3)
    assert found.silent == ("b",) and found.chosen == [0, 1, 2]


def test_floors_beyond_k_and_uneven_lists_are_refused() -> None:
    with pytest.raises(Refused, match="ask for 2"):
        cover(np.array([0.9, 0.9]), ["a", "b"], 1)
    with pytest.raises(Refused, match="2 passages"):
        cover(np.array([0.9]), ["a", "b"], 1)


def test_the_best_order_has_a_gain_of_one() -> None:
    assert ndcg([3, 2, 1], [1, 2, 3], 3) == pytest.approx(1)
    assert ndcg([1, 2, 3], [1, 2, 3], 3) == pytest.approx((1 + 2 / np.log2(3) + 1.5) / (3 + 2 / np.log2(3) + 0.5))
