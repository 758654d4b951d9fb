from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sharpen.config import FairnessSection
from sharpen.errors import Refused
from sharpen.training.constraints.plan import make_plan
from sharpen.training.job import Recipe


def recipe(method: str = "dpo", **fairness: Any) -> Recipe:
    return Recipe.model_validate(
        {"method": method, "epochs": 1, "rank": 4, "alpha": 8, "learning_rate": 1e-3, "batch": 4, "max_length": 64,
         "beta": 0.1, "seed": 0, "threads": 1, "fairness": FairnessSection(**fairness)}
    )  # fmt: skip


def row(question: str = "q", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}], "chosen": "yes", "rejected": "no"} | more


def refused(rows: list[dict[str, Any]], method: str = "dpo", **fairness: Any) -> str:
    with pytest.raises(Refused) as caught:
        make_plan(rows, recipe(method, **fairness))
    assert caught.value.next_step
    return caught.value.what


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0, "2", True])
def test_weights_that_are_not_finite_numbers_are_refused_with_the_row(weight: Any) -> None:
    assert refused([row(), row(weight=weight)], twins=True).startswith("Row 2 has the weight")


def test_weights_that_are_all_zero_are_refused() -> None:
    assert "all rows are 0" in refused([row("a", twin="t", weight=0.0), row("b", twin="t", weight=0.0)], twins=True)
    rows = [row(group="a"), row(group="a"), row(group="b", weight=0.0)]
    assert "group 'b' are 0" in refused(rows, groups=True, min_group=1)


def test_one_group_and_groups_without_rows_are_refused() -> None:
    assert "two groups or more" in refused([row(group="a")] * 3, groups=True, min_group=1)
    two = [row(group="a"), row(group="b")]
    assert "without a single row: c" in refused(two, groups=True, min_group=1, target={"a": 1.0, "b": 1.0, "c": 1.0})
    assert "fewer than 50 rows were merged" in refused(two * 5, groups=True)


def test_a_group_that_is_not_a_name_is_refused() -> None:
    assert "group 3 is not a name" in refused([row(group=3), row(group="b")], groups=True, min_group=1)


def test_missing_twins_are_refused_and_a_few_missing_are_counted() -> None:
    assert "nothing to compare" in refused([row("a"), row("b")], twins=True)
    assert "nothing to compare" in refused([row("a", twin="s"), row("b", twin="t")], twins=True)
    plan = make_plan([row("a", twin="s"), row("b", twin="s"), row("c", twin="t"), row("d")], recipe(twins=True))
    assert (plan.told["twin_sets"], plan.told["twin_sets_missing_a_twin"]) == (1.0, 1.0)
    assert len(plan.items) == 4


def test_the_share_of_twins_that_were_answered_differently_is_told() -> None:
    rows = [row("a", twin="s"), row("b", twin="s", chosen="no", rejected="yes"), row("c", twin="t"), row("d", twin="t")]
    assert make_plan(rows, recipe(twins=True)).told["twin_conflict_share"] == 0.5


def test_methods_without_a_constrained_form_are_refused() -> None:
    assert "no constrained form of method 'sft'" in refused([row()], "sft", twins=True)


def test_weights_mean_one_in_every_group() -> None:
    rows = [row(group=group, weight=weight) for group, weight in (("a", 1.0), ("a", 3.0), ("b", 10.0), ("b", 30.0))]
    assert make_plan(rows, recipe(groups=True, min_group=1)).weight_N.tolist() == [0.5, 1.5, 0.5, 1.5]


def test_principles_reorder_drop_and_mark_pairs() -> None:
    rows = [
        row("kept", violations={"chosen": [], "rejected": []}),
        row("margin", violations={"chosen": [], "rejected": ["harm"]}),
        row("flipped", violations={"chosen": ["harm"], "rejected": []}),
        row("dropped", violations={"chosen": ["harm"], "rejected": ["harm", "style"]}),
        row("other principle", violations={"chosen": ["style"], "rejected": []}),
        row("not judged"),
    ]
    plan = make_plan(rows, recipe(principles=["harm"]))
    found = {item["messages"][0]["content"]: (item["chosen"], item["harm"]) for item in plan.items}
    assert found == {
        "kept": ("yes", 0), "margin": ("yes", 1), "flipped": ("no", 1), "other principle": ("yes", 0),
        "not judged": ("yes", 0),
    }  # fmt: skip
    assert plan.told == {
        "pairs_flipped_by_principles": 1.0, "pairs_dropped_by_principles": 1.0, "pairs_with_a_margin": 2.0
    }  # fmt: skip
    assert [item["row"] for item in plan.items] == list(range(5))


def test_a_liked_answer_that_breaks_a_principle_was_not_good() -> None:
    rows = [row(violations={"chosen": ["harm"], "rejected": []}), row("b", rejected=None)]
    plan = make_plan(rows, recipe("kto", principles=["*"]))
    assert [(item["answer"], item["label"]) for item in plan.items] == [("yes", False), ("no", False), ("yes", True)]
    assert plan.told == {"ratings_turned_by_principles": 1.0}


def test_principles_without_a_judged_row_and_malformed_violations_are_refused() -> None:
    assert "no row says" in refused([row(), row()], principles=["*"])
    for odd in ("harm", {"chosen": "harm"}, {"rejected": [1]}):
        assert "Row 1 has violations" in refused([row(violations=odd)], principles=["*"])
    both = row(violations={"chosen": ["harm"], "rejected": ["harm"]})
    assert "No row is left" in refused([both], principles=["*"])


def test_rejected_only_rows_are_ratings_and_no_pairs() -> None:
    rows = [row(chosen=None), row()]
    assert len(make_plan(rows, recipe("kto", principles=[])).items) == 3
    assert len(make_plan(rows, recipe("dpo", principles=[])).items) == 1


def test_ratings_of_one_kind_are_refused_and_others_are_balanced() -> None:
    one_kind = [row("a", twin="t", rejected=None), row("b", twin="t", rejected=None)]
    assert "there are 2 and 0" in refused(one_kind, "kto", twins=True)
    plan = make_plan([*one_kind, row("c", chosen=None)], recipe("kto", twins=True))
    assert plan.balance == (1.0, 2.0)


def test_a_group_of_the_rows_is_in_the_plan_in_their_order() -> None:
    plan = make_plan([row(group="b"), row(group="a"), row(group="b")], recipe(groups=True, min_group=1))
    assert plan.groups is not None
    assert np.array(plan.groups.names)[plan.groups.index_N].tolist() == ["b", "a", "b"]
