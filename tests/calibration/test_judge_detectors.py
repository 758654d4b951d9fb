"""What the trial of a judge promises: each planted bias is found with power 0.95, and a clean judge is left alone.

`pytest -s -m calibration` prints the table; SHARPEN_CALIBRATION_RUNS sets the runs per row. Without it 60 are run: as
many as show both bounds where nothing goes wrong.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from scipy.stats import beta
from tests.scripted_judge import ScriptedJudge, make_gold

from sharpen.records import JudgeTrial
from sharpen.verify.judge import Judge
from sharpen.verify.judge_trials import try_judge

RUNS = int(os.environ.get("SHARPEN_CALIBRATION_RUNS", "60"))
PLANTED = [
    ("length", {"length": 0.3}, "helpfulness"),
    ("style", {"style": 0.2}, "helpfulness"),
    ("injection", {"injection": 0.3}, "helpfulness"),
    ("names", {"name": -0.2}, "helpfulness"),
    ("self-preference", {"self_preference": 0.15}, "helpfulness"),
    ("agreement", {"ignorance": 0.6}, "helpfulness"),
    ("position", {"position": 0.1}, "preference"),
    ("length", {"length": 0.3}, "preference"),
    ("style", {"style": 0.2}, "preference"),
    ("order consistency", {"ignorance": 0.6}, "preference"),
]
FOUND = ("alarm", "not shown")


class NoStore:
    """Keeps nothing: every run is a first trial."""

    def find(self, *_: Any, **__: Any) -> list[JudgeTrial]:
        return []

    def append(self, *_: Any) -> None:
        """Forget it."""


def trials(rubric: str, bias: dict[str, float]) -> list[JudgeTrial]:
    return [
        try_judge(Judge(ScriptedJudge(seed=run, **bias), "scripted", rubric), make_gold(60, run), NoStore())  # type: ignore[arg-type]
        for run in range(RUNS)
    ]


def bounds(hits: int) -> tuple[float, float]:
    """Return the one-sided 95 % Clopper-Pearson bounds of a share of RUNS."""
    low = float(beta.ppf(0.05, hits, RUNS - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.95, hits + 1, RUNS - hits)) if hits < RUNS else 1.0


@pytest.mark.calibration
@pytest.mark.parametrize(("name", "bias", "rubric"), PLANTED, ids=[f"{name}-{rubric}" for name, _, rubric in PLANTED])
def test_each_planted_bias_is_found(name: str, bias: dict[str, float], rubric: str) -> None:
    found = sum(
        any(one.name == name and one.outcome in FOUND for one in trial.findings) for trial in trials(rubric, bias)
    )
    print(f"\n{rubric:12} {name:18} {bias}: found {found} of {RUNS}, power >= {bounds(found)[0]:.3f}")
    assert bounds(found)[1] >= 0.95  # the simulation does not contradict a power of 0.95
    assert found / RUNS >= 0.95 - 1 / RUNS


@pytest.mark.calibration
@pytest.mark.parametrize("rubric", ["helpfulness", "preference"])
def test_a_clean_judge_is_rarely_accused_of_anything(rubric: str) -> None:
    accused = sum(bool(trial.faults) for trial in trials(rubric, {}))
    print(f"\n{rubric:12} clean: accused {accused} of {RUNS}, rate <= {bounds(accused)[1]:.3f}")
    assert bounds(accused)[0] <= 0.05
