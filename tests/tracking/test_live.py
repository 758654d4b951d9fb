from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.test_mlflow import client, mirror, prepared_home, trained

from sharpen.tracking.live import Live
from sharpen.tracking.mlflow import NAME, MlflowMirror

__all__ = ["mirror", "prepared_home"]  # fixtures


def _runs(mirror: MlflowMirror) -> Any:
    look = client(mirror)
    return look, look.search_runs([look.get_experiment_by_name(NAME).experiment_id])


def test_a_run_is_seen_while_it_goes_on_and_ends_as_the_run_of_its_version(
    mirror: MlflowMirror, tmp_path: Path
) -> None:
    run, version = trained("1")
    live = Live(tmp_path, every_s=0.0)
    for step, loss in ((5, 2.0), (10, 1.0)):
        live(run.id, step, {"loss": loss, "rewards/margins": 3.0 - loss})
    look, [going_on] = _runs(mirror)
    assert going_on.info.status == "RUNNING"
    assert [(one.step, one.value) for one in look.get_metric_history(going_on.info.run_id, "loss")] == [
        (5, 2.0),
        (10, 1.0),
    ]
    mirror.record_run(run, version, {"target/challenger": 0.8})
    look, [ended] = _runs(mirror)
    assert (ended.info.run_id, ended.info.status) == (going_on.info.run_id, "FINISHED")
    assert ended.data.tags["sharpen.version_id"] == version.id
    assert ended.data.metrics["target/challenger"] == 0.8


def test_numbers_wait_a_little_and_none_is_lost(mirror: MlflowMirror, tmp_path: Path) -> None:
    live = Live(tmp_path, every_s=3600.0)
    live._told = 1e18  # it was told something just now
    for step in range(3):
        live("run_2", step, {"loss": float(step)})
    assert _runs(mirror)[1] == []
    live.flush()
    look, [run] = _runs(mirror)
    assert [one.value for one in look.get_metric_history(run.info.run_id, "loss")] == [0.0, 1.0, 2.0]


def test_a_mirror_that_fails_is_one_warning_and_one_that_is_missing_or_off_is_none(
    mirror: MlflowMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sharpen.tracking")
    for live in (Live(tmp_path / "nowhere", every_s=0.0), Live(tmp_path, is_on=False, every_s=0.0)):
        live("run_3", 1, {"loss": 1.0})
    assert caplog.records == [] and _runs(mirror)[1] == []
    (tmp_path / "broken").mkdir()
    shutil.copy(__file__, tmp_path / "broken" / "mlflow.db")
    broken = Live(tmp_path / "broken", every_s=0.0)
    broken("run_3", 1, {"loss": 1.0})
    broken("run_3", 2, {"loss": 1.0})
    assert len(caplog.records) == 1
