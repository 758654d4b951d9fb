"""A mirror of runs in Weights & Biases, offline: MLflow's metrics, in a folder that `wandb sync` can send.

In: TrainingRuns, ModelVersions, scores. Out: one offline run per version, in `home`. Must not know the store. Nothing
is sent anywhere: whoever wants it online runs `wandb sync` on the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sharpen.plugins import part
from sharpen.records import ModelVersion, TrainingRun
from sharpen.tracking.refusal import refusals_of

PROJECT = "sharpen"
_HEAD_BYTES = 7  # an offline run's file that holds nothing yet has this much
_PATIENCE_S = 30  # chosen: it takes about a second on a quiet machine
_LOOK_S = 0.3
_PREFIX = "WANDB_"
_QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_MODE": "offline"}
# What W&B would collect beside what it is told: code, git, packages, hardware, the console's text.
_SETTINGS: dict[str, Any] = {
    "mode": "offline",
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "disable_job_creation": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}


@contextlib.contextmanager
def _quiet_environment() -> Iterator[None]:
    """Have W&B read, from its import on, that it stays offline and reports to nobody; leave nothing of it, or of what
    W&B itself writes there, to others."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_PREFIX)]:
            del os.environ[name]
        os.environ.update(before)


class WandbMirror:
    """Our runs as offline runs of W&B, below HOME/wandb.

    Raises: MissingExtra without W&B. TrackerError when W&B or the disk refuses.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()

    @_quiet_environment()
    def record_run(
        self,
        run: TrainingRun,
        version: ModelVersion,
        scores: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a run and the version it made; return its folder. Done twice, it is there once.

        The metrics are MLflow's: the run's own, its seconds, and `scores`, e.g. "target/challenger".
        """
        library = part("wandb")
        with refusals_of("Weights & Biases", "set [tracking] wandb = false", self._home / "wandb"):
            self._home.mkdir(parents=True, exist_ok=True)
            for earlier in (self._home / "wandb").glob(f"offline-run-*-{version.id}"):
                shutil.rmtree(earlier)  # cut off half way, or of other scores: it is written again from the start
            metrics = dict(run.metrics) | {"seconds": run.seconds, "model_seconds": run.model_seconds} | dict(scores)
            config = run.recipe | {"method": run.method, "seed": run.seed}
            labels = {"version_id": version.id, "run_id": run.id, "snapshot_id": run.snapshot_id} | dict(tags or {})
            opened = library.init(
                project=PROJECT, id=version.id, name=version.id, dir=str(self._home),
                config=config | {"sharpen": labels}, settings=library.Settings(**_SETTINGS), reinit="create_new",
            )  # fmt: skip
            opened.log(metrics)
            folder = Path(opened.dir).parent
            opened.finish()
            _await_file(folder / f"run-{version.id}.wandb")
        return folder


def _await_file(path: Path) -> None:
    """Wait until W&B's writer, which goes on after `finish`, has written the run. Raises: TimeoutError."""
    size, until = -1, time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        before, size = size, path.stat().st_size
        if size == before and size > _HEAD_BYTES:
            return
        time.sleep(_LOOK_S)
    raise TimeoutError(f"{path} was not written within {_PATIENCE_S} seconds")
