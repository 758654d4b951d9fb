from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.fairness.balance import balanced


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=6, max_size=80))
def test_good_and_bad_weigh_the_same_in_every_group_and_groups_keep_their_mass(rows: list[tuple[int, bool]]) -> None:
    rows = rows + [(group, good) for group in range(3) for good in (True, False)]
    group_N, good_N = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    weight_N = balanced(group_N, good_N, ("a", "b", "c"))
    for group in range(3):
        inside = group_N == group
        assert weight_N[inside & good_N].sum() == pytest.approx(weight_N[inside & ~good_N].sum())
        assert weight_N[inside].sum() == pytest.approx(inside.sum())


def test_a_group_that_is_only_voted_down_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Group 'b' has no answer that was found good"):
        balanced(np.array([0, 0, 1]), np.array([True, False, False]), ("a", "b"))
