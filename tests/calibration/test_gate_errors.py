"""What the gate promises, simulated: it rarely promotes what is not better, often what is, and overclaims nothing.

The table is among the warnings: of tests that pass, pytest shows nothing else from its workers. `make calibrate` runs
the full number of lives, and shows it too. The units are those
of `sharpen bench gate`; every one is seeded.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from sharpen.benchmarks.gate import measure
from sharpen.promotion.rehearsal.measures import CYCLES
from sharpen.promotion.rehearsal.report import NULLS, table, upper

SHARE = 0.1  # of the full number of units: about a minute


def check(found: dict[str, Any]) -> None:
    """Every promise, with room for the chance that the number of units leaves."""
    warnings.warn("\n" + table(found), stacklevel=1)  # of a test that passes, pytest -n 2 shows nothing else
    alpha, detail = found["alpha"], found["detail"]
    assert list(found) == ["false_promotion", "alpha", "power", "bias", "cases_ratio", "detail"]
    assert list(found["false_promotion"]) == ["rate", "high"]
    assert found["power"] == min(detail["power"].values())
    for name in NULLS:
        one = detail["false_promotion"][name]
        lives, count = one["lives"], round(one["rate"] * one["lives"])
        if count:  # refuted only if so many would come of alpha once in a hundred times
            assert 1 - _below(count, lives, alpha) > 0.01, name
        assert one["high"] == upper(count, lives)
    assert found["false_promotion"]["rate"] <= alpha
    attempts = detail["lives"]
    slack = 2.6 * math.sqrt(0.8 * 0.2 / attempts)
    for cycle in CYCLES:
        assert detail["power"][str(cycle)] >= 0.8 - slack, cycle
    assert abs(found["bias"]) <= 0.005 + 2.6 * 0.0125 / math.sqrt(detail["promotions"])  # se of a vault of 1,000 cases
    assert detail["bias_of_the_gates_own_number"] > found["bias"]
    assert detail["plain_rule"]["same 100 cases"]["per_promotion"] > 0.015
    assert detail["plain_rule"]["fresh 100 cases"]["per_life"] > 0.16
    assert found["cases_ratio"] <= 0.75
    for name, one in detail["planted"].items():
        assert one["stopped"] / one["of"] >= 0.95 - 2.6 * math.sqrt(0.05 * 0.95 / one["of"]), name
    assert detail["clean_promoted"] >= 0.8


def _below(count: int, trials: float, chance: float) -> float:
    """Return the chance of fewer than `count` of `trials`."""
    from scipy.stats import binom

    return float(binom.cdf(count - 1, trials, chance))


def test_the_gate_keeps_its_promises_on_made_up_answers(tmp_path: Path) -> None:
    check(measure(SHARE, tmp_path / "done.json"))


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    first = measure(0.004, tmp_path / "done.json")
    kept = (tmp_path / "done.json").read_text()
    assert measure(0.004, tmp_path / "done.json") == first
    assert (tmp_path / "done.json").read_text() == kept
    (tmp_path / "done.json").write_text("not json")
    assert measure(0.004, tmp_path / "done.json") == first


@pytest.mark.calibration
def test_all_of_it_in_full_size(tmp_path: Path) -> None:
    found = measure(1.0, tmp_path / "done.json")
    check(found)
    assert found["false_promotion"]["high"] <= found["alpha"]
    for cycle in CYCLES:
        assert found["detail"]["power"][str(cycle)] >= 0.8
    assert abs(found["bias"]) <= 0.005
    for name, one in found["detail"]["planted"].items():
        assert one["stopped"] >= 285, name
