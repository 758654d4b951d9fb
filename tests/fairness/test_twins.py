from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import Refused
from sharpen.fairness.twins import Contrasts, Rated, agreed, pair_contrasts, rated_contrasts


def gaps(contrasts: Contrasts, values: list[float]) -> list[float]:
    return (contrasts.sign_PK * np.array(values)[contrasts.row_PK]).sum(1).tolist()


def test_twins_with_opposite_labels_are_compared_by_what_the_answers_say() -> None:
    # The model prefers "yes" by 3 nats for one name and by 1 nat for the other: the gap is 2, whoever was chosen.
    same = pair_contrasts(["yes", "yes"], ["no", "no"], ["t", "t"])
    opposite = pair_contrasts(["yes", "no"], ["no", "yes"], ["t", "t"])
    assert gaps(same, [3.0, 1.0]) == [2.0]
    assert gaps(opposite, [3.0, -1.0]) == [2.0]  # chosen minus rejected is -1 for the second
    assert (same.conflicts, opposite.conflicts) == (0, 1)


def test_every_two_of_a_set_are_compared_and_single_rows_are_counted_not_lost() -> None:
    found = pair_contrasts(["y"] * 5, ["n"] * 5, ["t", None, "t", "alone", "t"])
    assert found.row_PK[:, :2].tolist() == [[0, 2], [0, 4], [2, 4]]
    assert (found.sets, found.missing) == (1, 1)
    assert found.set_N.tolist() == [0, -1, 0, 1, 0]


@pytest.mark.parametrize(("twins", "message"), [([None, None], "no row names"), (["a", "b"], "2 twin set")])
def test_missing_twins_are_refused(twins: list[str | None], message: str) -> None:
    with pytest.raises(Refused, match=message):
        pair_contrasts(["y", "y"], ["n", "n"], twins)
    with pytest.raises(Refused, match=message):
        rated_contrasts([Rated(f"p{at}", "y", True, twin) for at, twin in enumerate(twins)])


def test_twins_with_different_answers_are_refused() -> None:
    with pytest.raises(Refused, match="set 't' have different answers"):
        pair_contrasts(["Emily is fine", "Jamal is fine"], ["no", "no"], ["t", "t"])


def test_ratings_of_two_answers_are_compared_as_margins_and_of_one_as_drift() -> None:
    items = [
        Rated("Emily", "yes", True, "t"), Rated("Emily", "no", False, "t"),
        Rated("Jamal", "no", True, "t"), Rated("Jamal", "yes", False, "t"),
        Rated("Anne", "yes", True, "u"), Rated("Ebony", "yes", True, "u"),
    ]  # fmt: skip
    found = rated_contrasts(items)
    assert found.is_drift_P.tolist() == [False, True]
    # "no" over "yes" is -2 for Emily and 1 for Jamal; the one answer of the others moved by 0.5 and 0.2.
    assert gaps(found, [-1.0, -3.0, -1.0, -2.0, 0.5, 0.2]) == pytest.approx([-3.0, 0.3])
    assert (found.sets, found.conflicts, found.missing) == (2, 1, 0)


def test_a_set_agrees_with_its_greater_weight_or_not_at_all() -> None:
    assert agreed([1, -1, -1], [1, 1, 1]) == -1
    assert agreed([1, -1], [3, 1]) == 1
    assert agreed([1, -1], [1, 1]) == 0
