from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sharpen.training.constraints.batches import TwinSampler, apart, packed


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 4), st.integers(0, 9))
def test_no_pair_is_cut_when_the_batch_is_even(pairs: int, alone: int, half: int, seed: int) -> None:
    set_N = np.array([number for number in range(pairs) for _ in range(2)] + [-1] * alone, dtype=np.int64)
    order = packed(set_N, 2 * half, seed)
    assert sorted(order) == list(range(len(set_N)))
    where: dict[int, set[int]] = {}
    for place, row in enumerate(order):
        if set_N[row] >= 0:
            where.setdefault(int(set_N[row]), set()).add(place // (2 * half))
    assert all(len(batches) == 1 for batches in where.values())


def test_where_nothing_can_fit_the_order_is_still_whole_and_quick() -> None:
    set_N = np.repeat(np.arange(20_000), 2)
    assert sorted(packed(set_N, 5, 0)) == list(range(40_000))


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=24))
def test_neighbours_round_the_circle_differ_wherever_no_answer_has_more_than_half(answers: list[str]) -> None:
    order = apart(answers)
    assert sorted(order) == list(range(len(answers)))
    same = sum(answers[row] == answers[order[place - 1]] for place, row in enumerate(order))
    most = max(answers.count(answer) for answer in answers)
    if most <= len(answers) // 2:
        assert same == 0


def test_a_sampler_gives_each_epoch_its_own_order_and_the_same_again() -> None:
    sampler = TwinSampler(np.repeat(np.arange(8), 2), 4, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert first == list(sampler) != second
    assert len(sampler) == 16
