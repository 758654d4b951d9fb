from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.fairness.raking import design_effect, effective_size, rake, trimmed

# 820, 130 and 50 rows of a population of 50, 30 and 20 %.
LABELS = ["x"] * 820 + ["y"] * 130 + ["z"] * 50
TARGET = {"x": 0.5, "y": 0.3, "z": 0.2}


def share(weight_N: np.ndarray, labels: list[str], label: str) -> float:
    return float(weight_N[[one == label for one in labels]].sum() / weight_N.sum())


def test_one_facet_is_post_stratified_and_costs_what_kish_says() -> None:
    weight_N = rake({"place": LABELS}, {"place": TARGET})
    assert weight_N[0] == pytest.approx(0.5 / 0.82) and weight_N[-1] == pytest.approx(0.2 / 0.05)
    assert effective_size(weight_N) == pytest.approx(556, abs=1)
    assert design_effect(weight_N) == pytest.approx(1.8, abs=0.01)
    assert design_effect(weight_N) == pytest.approx(1 + np.var(weight_N) / np.mean(weight_N) ** 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pqr")), min_size=1, max_size=40))
def test_every_facet_has_its_target_at_once(rows: list[tuple[str, str]]) -> None:
    rows = rows + [(one, other) for one in "ab" for other in "pqr"]
    facets = {"first": [row[0] for row in rows], "second": [row[1] for row in rows]}
    targets = {"first": {"a": 3.0, "b": 1.0}, "second": {"p": 0.2, "q": 0.3, "r": 0.5}}
    weight_N = rake(facets, targets)
    assert share(weight_N, facets["first"], "a") == pytest.approx(0.75, abs=1e-6)
    assert share(weight_N, facets["second"], "r") == pytest.approx(0.5, abs=1e-6)
    assert weight_N.mean() == pytest.approx(1) and (weight_N > 0).all()


@pytest.mark.parametrize(("cap", "size", "minority"), [(2.0, 904, 0.085), (3.0, 758, 0.110), (5.0, 620, 0.160)])
def test_trimming_trades_representation_for_effective_rows(cap: float, size: float, minority: float) -> None:
    weight_N = trimmed(rake({"place": LABELS}, {"place": TARGET}), cap)
    assert weight_N.max() <= cap * np.median(weight_N) * (1 + 1e-6)
    assert weight_N.mean() == pytest.approx(1)
    assert effective_size(weight_N) == pytest.approx(size, abs=2)
    assert share(weight_N, LABELS, "z") == pytest.approx(minority, abs=0.005)


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        (["a", "b"], {"a": 1.0, "c": 1.0}, "rows of 'b'"),
        (["a", "a"], {"a": 1.0, "c": 1.0}, "'c', of which there is no row"),
        (["a", "b"], {"a": 1.0, "b": float("inf")}, "not made of positive numbers"),
        ([], {"a": 1.0}, "nothing to weigh"),
    ],
)
def test_what_cannot_be_raked_is_refused(labels: list[str], target: dict[str, float], message: str) -> None:
    with pytest.raises(Refused, match=message):
        rake({"facet": labels}, {"facet": target})


def test_targets_that_contradict_are_refused() -> None:
    facets = {"one": ["a", "b"], "other": ["p", "q"]}  # the facets are the same split under two names
    with pytest.raises(Refused, match="cannot all be met"):
        rake(facets, {"one": {"a": 0.9, "b": 0.1}, "other": {"p": 0.1, "q": 0.9}})
