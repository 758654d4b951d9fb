"""What a training run measures while it runs, as MLflow shows it.

In: a run's id, a step, and numbers. Out: metrics of an MLflow run that still goes on; `MlflowMirror.record_run` ends it
when there is a version. Must not know who trains.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.tracking.mlflow import MlflowMirror

log = logging.getLogger("sharpen.tracking")
EVERY_S = 5.0  # chosen: often enough to watch, seldom enough that the database has nothing to do


class Live:
    """Call it with (run id, step, numbers). Whatever goes wrong is one warning: the run does not depend on it."""

    def __init__(self, home: Path, *, is_on: bool = True, every_s: float = EVERY_S) -> None:
        self._mirror = MlflowMirror(home)
        self._every_s = every_s
        self._waiting: list[tuple[int, int, dict[str, float]]] = []  # step, milliseconds, numbers
        self._run_id = ""
        self._told = 0.0
        self._works = is_on and self._mirror.exists

    def __call__(self, run_id: str, step: int, metrics: dict[str, float]) -> None:
        """Take numbers, and hand on what has waited long enough."""
        if not self._works:
            return
        self._run_id = run_id
        self._waiting.append((step, int(time.time() * 1000), metrics))
        if time.monotonic() - self._told >= self._every_s:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        if not (self._works and self._waiting):
            return
        try:
            self._mirror.record_progress(self._run_id, self._waiting)
        except SharpenError as error:
            self._works = False
            log.warning("MLflow is not told how training goes: %s", error)
        self._waiting, self._told = [], time.monotonic()
