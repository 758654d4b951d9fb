"""The real MLflow shows what we recorded, once, and its failures stay on its side of the door."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.errors import TrackerError
from sharpen.records import Deployment, Message, ModelVersion, Score, TrainingRun
from sharpen.tracking.mlflow import NAME, MlflowMirror, follow
from sharpen.tracking.mlflow_evaluation import record_evaluation
from sharpen.verify.cases import make_case

BASE = ModelVersion(id="ver_0", base="tiny", base_digest="b1", template_digest="t1")
CASES = [make_case([Message(role="user", content=f"message {n}")], "billing", tier="gate") for n in range(3)]


def trained(name: str) -> tuple[TrainingRun, ModelVersion]:
    run = TrainingRun(
        id=f"run_{name}",
        snapshot_id="snp_1",
        method="sft",
        recipe={"rank": 4, "learning_rate": 1e-3},
        seed=7,
        adapter_digest=f"digest{name}",
        metrics={"loss": 0.5},
        seconds=61.0,
        model_seconds=50.0,
    )
    version = BASE.model_copy(
        update={"id": f"ver_{name}", "adapter_digest": f"digest{name}", "parent": "ver_0", "run_id": run.id}
    )
    return run, version


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home that was prepared once: it takes seconds."""
    home = tmp_path_factory.mktemp("prepared")
    MlflowMirror(home).prepare()
    return home


@pytest.fixture
def mirror(prepared_home: Path, tmp_path: Path) -> MlflowMirror:
    shutil.copy(prepared_home / "mlflow.db", tmp_path / "mlflow.db")
    return MlflowMirror(tmp_path)


def client(mirror: MlflowMirror) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=mirror.uri, registry_uri=mirror.uri)


def test_a_run_is_shown_with_its_recipe_its_scores_and_where_it_came_from(mirror: MlflowMirror) -> None:
    run, version = trained("1")
    mirror.record_run(run, version, {"target/challenger": 0.8}, {"decision": "promote"})
    look = client(mirror)
    [seen] = look.search_runs([look.get_experiment_by_name(NAME).experiment_id])
    assert seen.data.params == {"rank": "4", "learning_rate": "0.001", "method": "sft", "seed": "7"}
    assert seen.data.metrics == {"loss": 0.5, "seconds": 61.0, "model_seconds": 50.0, "target/challenger": 0.8}
    tags = {"sharpen.version_id": "ver_1", "sharpen.run_id": "run_1", "sharpen.snapshot_id": "snp_1"}
    assert seen.data.tags.items() >= (tags | {"decision": "promote"}).items()
    assert seen.info.status == "FINISHED"
    assert seen.info.end_time - seen.info.start_time == 61_000


def test_a_version_points_at_its_adapter_and_its_run(mirror: MlflowMirror, tmp_path: Path) -> None:
    run, version = trained("1")
    number = mirror.record_run(run, version, {})
    seen = client(mirror).get_model_version(NAME, number)
    assert seen.source == str(tmp_path / "adapters" / "digest1")
    assert seen.tags == {"sharpen.version_id": "ver_1", "sharpen.base": "tiny"}
    assert client(mirror).get_run(seen.run_id).data.tags["sharpen.version_id"] == "ver_1"


def test_recording_twice_is_recording_once(mirror: MlflowMirror) -> None:
    run, version = trained("1")
    first = mirror.record_run(run, version, {"target": 0.8})
    again = MlflowMirror(Path(mirror.uri.removeprefix("sqlite:///")).parent).record_run(run, version, {"target": 0.8})
    look = client(mirror)
    [seen] = look.search_runs([look.get_experiment_by_name(NAME).experiment_id])
    assert first == again
    assert len(look.search_model_versions(f"name = '{NAME}'")) == 1
    assert len(look.get_metric_history(seen.info.run_id, "target")) == 1


def test_a_recording_that_was_cut_off_is_finished_by_the_next(mirror: MlflowMirror) -> None:
    run, version = trained("1")
    look = client(mirror)
    experiment = look.get_experiment_by_name(NAME).experiment_id
    cut_off = look.create_run(experiment, tags={"sharpen.version_id": "ver_1"})
    mirror.record_run(run, version, {"target": 0.8})
    [seen] = look.search_runs([experiment])
    assert seen.info.run_id == cut_off.info.run_id
    assert seen.info.status == "FINISHED"
    assert seen.data.metrics["target"] == 0.8


def test_the_aliases_follow_promotions_and_undo(mirror: MlflowMirror) -> None:
    numbers = {"ver_0": mirror.record_base(BASE)}
    assert mirror.record_base(BASE) == numbers["ver_0"]
    for name in ("1", "2"):
        run, version = trained(name)
        numbers[version.id] = mirror.record_run(run, version, {})
    look = client(mirror)
    for champion, previous in (("ver_0", None), ("ver_1", "ver_0"), ("ver_2", "ver_1"), ("ver_1", "ver_2")):
        mirror.set_aliases(champion, previous)
        aliases = look.get_registered_model(NAME).aliases
        wanted = {"champion": champion} | ({"previous": previous} if previous else {})
        assert {alias: str(number) for alias, number in aliases.items()} == {
            alias: numbers[version] for alias, version in wanted.items()
        }
    mirror.set_aliases("ver_0", None)
    assert look.get_registered_model(NAME).aliases.keys() == {"champion"}


def undone(home: Path, *, mlflow: bool = True) -> tuple[Config, Deployment]:
    settings = parse({"home": str(home), "tracking": {"mlflow": mlflow}})
    return settings, Deployment(
        id="dep_9", version_id="ver_0", shares={"ver_0": 1.0}, previous_id="ver_1", reason="Undone by hand."
    )


def test_mlflow_follows_an_undo(mirror: MlflowMirror, tmp_path: Path) -> None:
    numbers = {"champion": mirror.record_base(BASE), "previous": mirror.record_run(*trained("1"), {})}
    mirror.set_aliases("ver_1", "ver_0")
    follow(*undone(tmp_path))
    aliases = client(mirror).get_registered_model(NAME).aliases
    assert {alias: str(number) for alias, number in aliases.items()} == numbers


def test_an_undo_goes_through_whatever_mlflow_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follow(*undone(tmp_path, mlflow=False))
    assert caplog.messages == []  # turned off, and nothing there that could be out of date
    follow(*undone(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    follow(*undone(tmp_path))
    follow(*undone(tmp_path, mlflow=False))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    absent, broken, off = caplog.messages
    assert "ver_0 serves" in absent and "There is no" in absent and "sharpen init" in absent
    assert "file is not a database" in broken
    assert "mlflow = false" in off


def test_an_alias_of_a_version_that_was_not_recorded_is_an_error(mirror: MlflowMirror) -> None:
    with pytest.raises(TrackerError, match="does not know version 'ver_9'"):
        mirror.set_aliases("ver_9", None)


def test_the_database_keeps_its_rollback_journal(mirror: MlflowMirror, tmp_path: Path) -> None:
    mirror.record_run(*trained("1"), {})
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert not list(tmp_path.glob("mlflow.db-*"))


def test_preparing_again_keeps_what_is_there(mirror: MlflowMirror) -> None:
    number = mirror.record_run(*trained("1"), {})
    mirror.prepare()
    assert mirror.record_run(*trained("1"), {}) == number


def test_preparing_upgrades_the_database_of_an_older_mlflow(tmp_path: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    mirror = MlflowMirror(tmp_path)
    engine = utils.create_sqlalchemy_engine(mirror.uri)
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(mirror.uri)
    older = list(ScriptDirectory.from_config(config).walk_revisions())[3].revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    with pytest.raises(TrackerError, match="MLflow refused"):
        mirror.record_base(BASE)
    mirror.prepare()
    assert mirror.record_base(BASE) == "1"


def test_without_its_database_the_mirror_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="sharpen init"):
        MlflowMirror(tmp_path).record_base(BASE)


def test_a_broken_database_fails_at_once_and_not_after_many_tries(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    began = time.monotonic()
    with pytest.raises(TrackerError, match=r"file is not a database(.|\n)*delete mlflow\.db"):
        MlflowMirror(tmp_path).record_run(*trained("1"), {})
    assert time.monotonic() - began < 10


@pytest.mark.faults
def test_a_kill_while_the_database_is_made_leaves_nothing_half_made(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from sharpen.tracking.mlflow import MlflowMirror
MlflowMirror(Path({str(tmp_path)!r})).prepare()
"""
    child = subprocess.Popen([sys.executable, "-c", script])
    while not any(part.stat().st_size for part in tmp_path.glob(".mlflow-*/mlflow.db")):
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "mlflow.db").exists()
    mirror = MlflowMirror(tmp_path)
    mirror.prepare()
    assert mirror.record_base(BASE) == "1"


def evaluated(arm: str, *values: float | None, scorer: str = "exact") -> list[Score]:
    return [
        Score(
            id=f"scr_{arm}_{scorer}_{case.id}", evaluation_id="evl_1", arm=arm, version_id="ver_1", suite="inbox",
            tier="gate", scorer=scorer, case_id=case.id, cluster=case.cluster, value=value, reply="billing",
            reason=None if value is not None else "it timed out",
        )
        for case, value in zip(CASES, values, strict=True)
    ]  # fmt: skip


def test_mlflow_evaluates_an_arm_and_keeps_every_answer(mirror: MlflowMirror) -> None:
    scores = [*evaluated("challenger", 1.0, 0.0, None), *evaluated("challenger", 0.5, 0.5, 0.5, scorer="ragas:help")]
    run_id = record_evaluation(mirror, CASES, scores)
    look = client(mirror)
    run = look.get_run(run_id)
    assert run.data.metrics == {
        "exact/mean": 0.5, "exact/scored_share": 2 / 3, "ragas.help/mean": 0.5, "ragas.help/scored_share": 1.0,
    }  # fmt: skip
    assert (run.info.status, run.info.run_name) == ("FINISHED", "inbox challenger ver_1 evl_1")
    assert run.inputs.dataset_inputs[0].dataset.name == "dataset"
    table = json.loads(Path(look.download_artifacts(run_id, "eval_results_table.json")).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["question"] for row in rows] == ["message 0", "message 1", "message 2"]
    assert [row["exact/score"] for row in rows] == [1.0, 0.0, None]
    assert record_evaluation(mirror, CASES, scores) == run_id
    assert record_evaluation(mirror, CASES, evaluated("champion", 0.0, 0.0, 0.0)) != run_id


def test_an_evaluation_leaves_mlflows_own_address_as_it_was(mirror: MlflowMirror, tmp_path: Path) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    with pytest.raises(TrackerError, match="does not know the experiment"):
        (tmp_path / "mlflow.db").write_bytes(b"")
        record_evaluation(mirror, CASES, evaluated("challenger", 1.0, 0.0, None))
    assert mlflow.get_tracking_uri() == before
