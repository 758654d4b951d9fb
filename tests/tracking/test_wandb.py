"""The real W&B writes an offline run, and what it wrote is read back from its file."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import TrackerError
from sharpen.records import ModelVersion, TrainingRun
from sharpen.tracking.wandb import WandbMirror

RUN = TrainingRun(
    id="run_1", snapshot_id="snp_1", method="sft", recipe={"rank": 4, "learning_rate": 1e-3}, seed=7,
    adapter_digest="d1", metrics={"loss": 0.5}, seconds=61.0, model_seconds=50.0,
)  # fmt: skip
VERSION = ModelVersion(id="ver_1", base="tiny", base_digest="b1", template_digest="t1", adapter_digest="d1")
_BLOCK, _HEAD = 32768, 7  # of the LevelDB log format that W&B writes


def records(folder: Path) -> Iterator[Any]:
    """Yield the records of an offline run: checksum (4 bytes), length (2), type (1), payload; blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    [file] = folder.glob("*.wandb")
    data, at, whole = file.read_bytes(), _HEAD, b""
    while at + _HEAD <= len(data):
        if _BLOCK - at % _BLOCK < _HEAD:
            at += _BLOCK - at % _BLOCK
        _, length, kind = struct.unpack("<IHB", data[at : at + _HEAD])
        whole += data[at + _HEAD : at + _HEAD + length]
        at += _HEAD + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def by_kind(folder: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for record in records(folder):
        found.setdefault(str(record.WhichOneof("record_type")), []).append(record)
    return found


def told(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_an_offline_run_holds_the_metrics_that_mlflow_is_told(tmp_path: Path) -> None:
    folder = WandbMirror(tmp_path).record_run(RUN, VERSION, {"target/challenger": 0.8}, {"decision": "promote"})
    found = by_kind(folder)
    assert found.keys() >= {"run", "history", "exit"}
    run = found["run"][0].run
    config = told(run.config.update)
    assert (run.run_id, run.project, run.display_name) == ("ver_1", "sharpen", "ver_1")
    assert {key: config[key] for key in ("rank", "learning_rate", "method", "seed")} == {
        "rank": 4, "learning_rate": 0.001, "method": "sft", "seed": 7,
    }  # fmt: skip
    assert config["sharpen"] == {
        "version_id": "ver_1", "run_id": "run_1", "snapshot_id": "snp_1", "decision": "promote",
    }  # fmt: skip
    metrics = told(found["history"][0].history.item)
    assert {key: value for key, value in metrics.items() if not key.startswith("_")} == {
        "loss": 0.5, "seconds": 61.0, "model_seconds": 50.0, "target/challenger": 0.8,
    }  # fmt: skip


def test_recording_twice_leaves_one_run_and_no_code_or_packages(tmp_path: Path) -> None:
    mirror = WandbMirror(tmp_path)
    mirror.record_run(RUN, VERSION, {"target/challenger": 0.7})
    folder = mirror.record_run(RUN, VERSION, {"target/challenger": 0.8})
    assert list((tmp_path / "wandb").glob("offline-run-*")) == [folder]
    assert told(by_kind(folder)["history"][0].history.item)["target/challenger"] == 0.8
    assert not [path for path in folder.rglob("*") if path.name in ("requirements.txt", "wandb-metadata.json")]
    assert not [path for path in (folder / "tmp" / "code").rglob("*") if path.is_file()]


def test_what_w_and_b_refuses_is_a_tracker_error(tmp_path: Path) -> None:
    bad = VERSION.model_copy(update={"id": "no/slash allowed"})
    with pytest.raises(TrackerError, match="wandb = false"):
        WandbMirror(tmp_path).record_run(RUN, bad, {})


def test_the_environment_of_the_process_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    WandbMirror(tmp_path).record_run(RUN, VERSION, {})
    after = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    assert after == before
