from __future__ import annotations

import pytest

from sharpen.errors import Refused
from sharpen.records import Score
from sharpen.verify.pairing import pair, summary


def scores(arm: str, values: dict[str, float | None]) -> list[Score]:
    return [
        Score(
            id=f"scr_{arm}_{case}", evaluation_id="e", arm=arm, version_id="ver_0", suite="s", tier="gate",
            scorer="exact", case_id=case, cluster=case[0], value=value,
            reason="too long" if value is None else None,
        )
        for case, value in values.items()
    ]  # fmt: skip


def test_only_cases_scored_on_both_sides_are_paired_whatever_their_order() -> None:
    ours = scores("a", {"c1": 1.0, "b1": 0.0, "b2": None, "d1": 1.0})
    theirs = scores("b", {"b2": 1.0, "b1": 1.0, "c1": 0.5})
    pairs = pair(ours, theirs, max_error_share=0.5)
    assert pairs.first.tolist() == [0.0, 1.0]
    assert pairs.second.tolist() == [1.0, 0.5]
    assert (pairs.clusters, pairs.unscored) == (("b", "c"), 2)


def test_too_many_unscored_cases_are_refused_with_their_reason() -> None:
    ours, theirs = scores("a", {"b1": None, "c1": 1.0}), scores("b", {"b1": 1.0, "c1": 1.0})
    with pytest.raises(Refused, match=r"1 of 2 cases are not scored on both sides \(too long\)"):
        pair(ours, theirs)


def test_scores_of_two_evaluations_cannot_be_mixed() -> None:
    twice = scores("a", {"b1": 1.0}) * 2
    with pytest.raises(Refused, match="twice"):
        pair(twice, twice)


def test_a_summary_leaves_unscored_cases_out_of_mean_and_count() -> None:
    found = summary(scores("a", {"a1": 1.0, "b1": 0.0, "c1": None}))
    assert (found.value, found.n) == (0.5, 2)
    with pytest.raises(Refused, match="no scored case"):
        summary(scores("a", {"a1": None}))
