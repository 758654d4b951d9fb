from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.fairness.groups import OTHERS, UNDECLARED, group_rows


def shares(groups: object) -> dict[str, tuple[float, float]]:
    return {
        name: (round(float(seen), 6), round(float(wanted), 6))
        for name, seen, wanted in zip(groups.names, groups.observed_G, groups.target_G, strict=True)  # type: ignore[attr-defined]
    }


def test_without_a_target_declared_groups_ought_to_have_equal_shares() -> None:
    assert shares(group_rows(["a"] * 6 + ["b"] * 2)) == {"a": (0.75, 0.5), "b": (0.25, 0.5)}


def test_a_target_is_scaled_to_one() -> None:
    assert shares(group_rows(["a", "b"], {"a": 3.0, "b": 1.0})) == {"a": (0.5, 0.75), "b": (0.5, 0.25)}


def test_rows_without_a_group_are_kept_at_the_share_they_have() -> None:
    groups = group_rows(["a"] * 4 + ["b"] * 2 + [None] * 2)
    assert shares(groups) == {"a": (0.5, 0.375), "b": (0.25, 0.375), UNDECLARED: (0.25, 0.25)}


def test_a_small_group_joins_its_parent_and_at_the_top_the_others() -> None:
    labels = ["africa/kenya"] * 2 + ["africa/ghana"] * 3 + ["asia"] * 5 + ["x"] * 3 + ["y"] * 3
    groups = group_rows(labels, min_rows=5)
    assert groups.names == ("africa", "asia", OTHERS)
    assert dict(groups.merged) == {"africa/kenya": "africa", "africa/ghana": "africa", "x": OTHERS, "y": OTHERS}
    assert groups.target_G.tolist() == pytest.approx([1 / 3] * 3)


def test_others_that_are_too_few_even_together_stand_with_the_smallest_large_group() -> None:
    groups = group_rows(["a"] * 9 + ["b"] * 6 + ["c"] * 2, min_rows=5)
    assert groups.names == ("a", "b")
    assert dict(groups.merged) == {"c": "b"}


def test_merged_groups_bring_their_targets_along() -> None:
    groups = group_rows(["a"] * 6 + ["x"] * 3 + ["y"] * 3, {"a": 0.5, "x": 0.1, "y": 0.4}, min_rows=5)
    assert shares(groups) == {"a": (0.5, 0.5), OTHERS: (0.5, 0.5)}


@pytest.mark.parametrize(
    ("labels", "target", "min_rows", "message"),
    [
        (["a", "a"], None, 1, "two groups or more; there are 1"),
        ([None, None], None, 1, "two groups or more"),
        (["a"] * 5 + ["b"], None, 3, "fewer than 3 rows were merged"),
        (["a", "b"], {"a": 1.0, "b": 1.0, "c": 1.0}, 1, "without a single row: c"),
        (["a", "b"], {"a": 1.0}, 1, "target does not name: b"),
        (["a", "b"], {"a": 1.0, "b": float("nan")}, 1, "'b' is not a positive number"),
        (["a", "b"], {"a": 1.0, "b": 0.0}, 1, "'b' is not a positive number"),
    ],
)
def test_groups_that_cannot_be_weighed_are_refused(
    labels: list[str | None], target: dict[str, float] | None, min_rows: int, message: str
) -> None:
    with pytest.raises(Refused, match=message) as caught:
        group_rows(labels, target, min_rows=min_rows)
    assert caught.value.next_step


@given(st.lists(st.sampled_from(["a", "b", "c/x", "c/y", None]), min_size=1, max_size=60), st.integers(1, 8))
def test_every_row_is_in_a_group_and_shares_sum_to_one(labels: list[str | None], min_rows: int) -> None:
    try:
        groups = group_rows(labels, min_rows=min_rows)
    except Refused:
        return
    assert len(groups.index_N) == len(labels)
    assert groups.observed_G.sum() == pytest.approx(1)
    assert groups.target_G.sum() == pytest.approx(1)
    counts = np.bincount(groups.index_N, minlength=len(groups.names))
    declared = np.array([name != UNDECLARED for name in groups.names])
    assert (counts[declared] >= min_rows).all()
    assert (groups.target_G > 0).all()
