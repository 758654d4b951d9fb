"""Runs that are killed, have no room, or go wrong, in real children on a real, tiny model."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sharpen.errors import TrainerError
from tests.training.conftest import PAIRS, row

ROWS = [
    row(f"{question} {word}", answer)
    for question, answer in PAIRS.items()
    for word in ("now", "please", "again", "sir", "today", "soon")
]
PAIRED = [one | {"rejected": "perhaps"} for one in ROWS]
SETTINGS = {"epochs": 4.0, "batch": 3, "checkpoint_s": 0.0}


def _kill_at(step: int, told: list[int]) -> Callable[[int, int], None]:
    """Return a listener that kills the child once, at that step, and writes down what it hears."""

    def hear(done: int, total: int) -> None:
        told.append(done)
        if done == step and told.count(step) == 1:
            _child().send_signal(signal.SIGKILL)

    return hear


def _child() -> psutil.Process:
    [child] = [one for one in psutil.Process().children() if "sharpen.training.worker" in one.cmdline()]
    return child


@pytest.fixture(scope="module")
def unbroken(shops: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a supervised run that nobody killed."""
    return shops(tmp_path_factory.mktemp("unbroken"), **SETTINGS, dev_share=0.4).train(ROWS)[0]


@pytest.mark.faults
def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    unbroken: Any, shops: Callable[..., Any], tmp_path: Path
) -> None:
    shop, told = shops(tmp_path, **SETTINGS, dev_share=0.4), []
    run, _ = shop.train(ROWS, on_progress=_kill_at(5, told))
    assert told.count(1) == 1, "it began again from the start"
    assert told[-1] == run.metrics["steps"]
    assert run.adapter_digest == unbroken.adapter_digest
    assert run.metrics == unbroken.metrics and run.metrics["dev_rows"] >= 4
    assert not list((tmp_path / "runs").glob("*/checkpoints"))


@pytest.mark.faults
def test_preference_training_that_was_killed_ends_with_the_same_weights(
    shops: Callable[..., Any], tmp_path: Path
) -> None:
    settings = {"epochs": 3.0, "batch": 3, "checkpoint_s": 0.0, "method": "dpo"}
    whole, _ = shops(tmp_path / "whole", **settings).train(PAIRED)
    told: list[int] = []
    run, _ = shops(tmp_path / "killed", **settings).train(PAIRED, on_progress=_kill_at(5, told))
    assert told.count(1) == 1, "it began again from the start"
    assert run.adapter_digest == whole.adapter_digest


@pytest.mark.faults
def test_a_kill_while_a_checkpoint_is_written_loses_that_one_alone(
    unbroken: Any, shops: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, told = shops(tmp_path, **SETTINGS | {"attempts": 1}, dev_share=0.4), []
    monkeypatch.setenv("SHARPEN_FAILPOINT", "train.before_checkpoint:3")
    with pytest.raises(TrainerError, match="signal 9"):
        shop.train(ROWS)
    monkeypatch.delenv("SHARPEN_FAILPOINT")
    run, _ = shop.train(ROWS, on_progress=lambda done, total: told.append(done))
    assert told[0] == 3
    assert run.adapter_digest == unbroken.adapter_digest


def test_a_loss_that_is_not_a_number_stops_the_run_and_the_last_good_checkpoint_is_kept(
    shops: Callable[..., Any], tmp_path: Path
) -> None:
    shop = shops(tmp_path, **SETTINGS)
    training = shop.config.training.model_copy(update={"learning_rate": 1e38})
    shop.config = shop.config.model_copy(update={"training": training})
    with pytest.raises(TrainerError, match=r"stopped at step \d+ of \d+.*not numbers.*step-\d+, is kept") as caught:
        shop.train(ROWS)
    [kept] = (tmp_path / "runs").glob("*/checkpoints/step-*")
    assert (kept / "tensors.safetensors").is_file()
    assert str(kept.parent) in str(caught.value)
    assert list(shop.config.adapters.iterdir()) == []


def test_a_dev_share_ends_a_run_that_no_longer_gains_with_its_best_weights(
    shops: Callable[..., Any], tmp_path: Path
) -> None:
    settings = {"epochs": 40.0, "batch": 3, "learning_rate": 0.03, "dev_share": 0.4, "patience": 2}
    shop, told = shops(tmp_path, **settings), []
    run, _ = shop.train(ROWS, on_metrics=lambda run_id, step, metrics: told.append((run_id, step, metrics)))
    looks = {step: metrics["eval_loss"] for _, step, metrics in told if "eval_loss" in metrics}
    assert run.metrics["stopped_early"] == 1.0
    assert run.metrics["best_step"] == min(looks, key=lambda step: looks[step]) < run.metrics["steps"]
    assert run.metrics["dev_loss"] == pytest.approx(min(looks.values()))
    assert 4 <= run.metrics["dev_rows"] <= 12
    assert {run_id for run_id, _, _ in told} == {run.id}
    assert any("loss" in metrics and "learning_rate" in metrics for _, _, metrics in told)
