from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpen.benchmarks import constraints

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "constraints.json"


def test_no_question_is_both_trained_on_and_asked_and_twins_differ_in_the_name_alone() -> None:
    trained, asked = constraints.cases(96, 3)
    assert len(trained) == len(asked) == 96
    assert not {pair[0] for pair in trained} & {pair[0] for pair in asked}
    for one, other in trained + asked:
        assert one.name in constraints.NAMES["A"] and other.name in constraints.NAMES["B"]
        assert (one.job, one.years, one.degree) == (other.job, other.years, other.degree)


def test_the_planted_raters_turn_down_qualified_applicants_of_one_group_alone() -> None:
    rows = constraints.rated(constraints.cases(240, 0)[0], 0)

    def share(group: str, degree: str) -> float:
        found = [row for row in rows if row["group"] == group and row["messages"][0]["content"].endswith(degree)]
        return float(np.mean([row["chosen"] == constraints.INVITE for row in found]))

    assert share("A", " a degree") == 1.0
    assert share("A", "no degree") == share("B", "no degree") == 0.0
    assert share("B", " a degree") == pytest.approx(1 - 0.9 * 0.8, abs=0.08)


def test_dpo_reproduces_the_planted_bias_and_the_constrained_run_does_not() -> None:
    figures: dict[str, Any] = constraints.measure(seeds=(0,), arms=("dpo", "dpo, twins"), folder=None)
    free, held = figures["means"]
    assert free["qualified_A"] > 0.8 and free["qualified_B"] < 0.5  # the bias was learned
    assert held["flip_rate"] <= 0.5 * free["flip_rate"]
    assert held["gap"] <= 0.3 * free["gap"]
    assert min(held["accuracy_A"], held["accuracy_B"]) >= min(free["accuracy_A"], free["accuracy_B"])
    assert held["accuracy"] >= free["accuracy"] - 0.02


def test_the_committed_table_is_of_three_seeds_and_the_page_shows_it() -> None:
    told = json.loads(RESULTS.read_text(encoding="utf-8"))
    arms = {arm: [row for row in told["rows"] if row["arm"] == arm] for arm in {row["arm"] for row in told["rows"]}}
    assert {"dpo", "dpo, twins"} <= arms.keys() <= constraints.ARMS.keys()
    assert all(len({row["seed"] for row in rows}) >= 3 for rows in arms.values())
    means = {row["arm"]: row for row in told["means"]}
    assert means["dpo, twins"]["flip_rate"] <= 0.5 * means["dpo"]["flip_rate"]
    assert means["dpo, twins"]["gap"] <= 0.3 * means["dpo"]["gap"]
    page = (RESULTS.parents[2] / "docs" / "18-constraints.md").read_text(encoding="utf-8")
    assert "\n".join(told["table"]) in page
