from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpen.benchmarks import constraints, fairness

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "fairness.json"


class Even:
    """Stands in for a model that finds both answers equally likely: only the raters are looked at."""


def ratings(monkeypatch: pytest.MonkeyPatch, *, fair_to_groups: bool) -> list[dict[str, Any]]:
    monkeypatch.setattr(fairness, "_odds", lambda model, tokenizer, asked: np.zeros(len(asked)))
    twins = constraints.cases(96, 0)[0]
    return [
        row
        for seed in range(6)
        for row in fairness.rate(Even(), None, twins, np.random.default_rng(seed), fair_to_groups=fair_to_groups)
    ]


def test_raters_punish_one_group_and_in_the_null_loop_both_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fairness._feedback_bias(ratings(monkeypatch, fair_to_groups=False)) == pytest.approx(0.66, abs=0.06)
    null = ratings(monkeypatch, fair_to_groups=True)
    assert abs(fairness._feedback_bias(null)) < 0.08
    unfair = np.mean([row["chosen"] == constraints.DECLINE for row in null if row["degree"]])
    assert unfair == pytest.approx(0.33, abs=0.05)  # as many as in the other loop, over both groups


def test_what_was_liked_is_learned_and_what_is_known_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ratings(monkeypatch, fair_to_groups=False)
    known = [row for row in rows if row["gold"] == row["gold"]]
    assert 0.05 < len(known) / len(rows) < 0.15
    assert all((row["chosen"] == constraints.INVITE) == row["degree"] for row in known)


@pytest.mark.slow  # ten trainings of a tiny model
def test_the_unguarded_loop_learns_the_bias_and_the_guarded_one_does_not(tmp_path: Path) -> None:
    figures: dict[str, Any] = fairness.measure(seeds=(0,), folder=None, plot=tmp_path / "plot.svg")
    check(figures)
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def test_the_committed_figures_are_of_three_seeds_and_the_page_shows_them() -> None:
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert len(figures["seeds"]) >= 3
    check(figures)
    page = (RESULTS.parents[2] / "docs" / "21-fairness.md").read_text(encoding="utf-8")
    assert "\n".join(figures["table"]) in page


def check(figures: dict[str, Any]) -> None:
    free, held = figures["unguarded"], figures["guarded"]
    assert free["flip_rate"] > 0.1 and free["gap"] > 1  # the bias was learned
    assert held["flip_rate"] <= 0.5 * free["flip_rate"]
    assert held["gap"] <= 0.3 * free["gap"]
    assert held["worst_group_accuracy"] >= free["worst_group_accuracy"]
    assert held["accuracy"] >= free["accuracy"] - 0.02
