"""Watches over a run: tells the parent how it goes, keeps checkpoints and the best weights, and ends it in time.

In: a trainer's steps. Out: lines of JSON on stdout, files in the run's folder. Must not know the method.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from sharpen.errors import TrainerError
from sharpen.training.long_runs import checkpoints
from sharpen.training.processes import is_first

CHECKS = 10  # chosen: looks at the dev share in a run, however long it is
_BEST = "best.safetensors"


@dataclass
class Course:
    """What is known of a run so far; a checkpoint keeps it."""

    seconds: float = 0.0
    total_loss: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    checks_since: int = 0
    unlogged_loss: float = 0.0
    logged_step: int = 0


class Watch(TrainerCallback):
    """To be added to a trainer after every other callback, so that a checkpoint has what they did."""

    def __init__(self, trainer: Any, home: Path, *, every_s: float, patience: int) -> None:
        """`home` is for checkpoints, at most one each `every_s` seconds; `patience` counts checks without a gain."""
        self._trainer = trainer
        self._home = home
        self._every_s = every_s
        self._patience = patience
        self._began = self._saved = time.perf_counter()
        self._loss = 0.0
        self.course = Course()
        _hear_losses(trainer, self._hear)

    def _hear(self, loss: float) -> None:
        self._loss += loss

    def take_up(self, checkpoint: Path) -> None:
        """Go on with what was known at a checkpoint."""
        self.course = Course(**checkpoints.extra_of(checkpoint))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the trainer back the losses that it had added up since it last logged."""
        if state.global_step:
            self._trainer._tr_loss += self.course.unlogged_loss
            self._trainer._globalstep_last_logged = self.course.logged_step

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._began, self._loss = time.perf_counter(), 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is; stop at what is not a number; look at the dev share and write a checkpoint when due."""
        self.course.seconds += time.perf_counter() - self._began
        self._stop_at_nonsense(state)
        self.course.total_loss += self._loss
        tell(step=state.global_step, of=state.max_steps)
        is_last = state.global_step >= state.max_steps
        if self._trainer.eval_dataset is not None and (is_last or state.global_step % _every(state.max_steps) == 0):
            wanted = control.should_log
            self._check(state, control)
            control.should_log = wanted  # looking at the dev share takes this back
        # A step that is about to be logged waits: what is logged would be neither before the checkpoint nor after it.
        if not is_last and not control.should_log and time.perf_counter() - self._saved >= self._every_s:
            self._checkpoint()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Tell the parent what was measured."""
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        if finite:
            tell(at=state.global_step, metrics=finite)

    def finish(self) -> dict[str, float]:
        """Have the trainer end with its best weights; returns what there is to say of the run."""
        state, course = self._trainer.state, self.course
        told = {"train_loss": course.total_loss / max(1, state.global_step), "steps": float(state.global_step)}
        if self._trainer.eval_dataset is None:
            return told
        if course.best_step != state.global_step:
            checkpoints.load_weights_file(self._home / _BEST, self._trainer)
        return told | {
            "dev_loss": course.best_loss,
            "dev_rows": float(len(self._trainer.eval_dataset)),
            "best_step": float(course.best_step),
            "stopped_early": float(state.global_step < state.max_steps),
        }

    def _check(self, state: Any, control: Any) -> None:
        loss = float(self._trainer.evaluate()["eval_loss"])
        if loss < self.course.best_loss:
            self.course.best_loss, self.course.best_step, self.course.checks_since = loss, state.global_step, 0
            self._home.mkdir(parents=True, exist_ok=True)
            checkpoints.save_weights(self._home / _BEST, self._trainer)
            return
        self.course.checks_since += 1
        if self.course.checks_since >= self._patience:
            control.should_training_stop = True

    def _checkpoint(self) -> None:
        if not self._weights_are_numbers():
            return  # the next step's loss will tell; until then the last good checkpoint stays
        self.course.unlogged_loss = float(self._trainer._tr_loss)
        self.course.logged_step = self._trainer._globalstep_last_logged
        checkpoints.save(self._home, self._trainer, asdict(self.course))
        self._saved = time.perf_counter()

    def _stop_at_nonsense(self, state: Any) -> None:
        if math.isfinite(self._loss) and (state.global_step < state.max_steps or self._weights_are_numbers()):
            return
        kept = checkpoints.newest(self._home)
        place = f" The last good checkpoint, {kept.name}, is kept in {kept.parent}." if kept else ""
        raise TrainerError(
            f"Training stopped at step {state.global_step} of {state.max_steps}: "
            f"loss or weights are not numbers.{place}",
            "lower [training] learning_rate",
        )

    def _weights_are_numbers(self) -> bool:
        trained = (weight for weight in self._trainer.model.parameters() if weight.requires_grad)
        return all(bool(torch.isfinite(weight).all()) for weight in trained)


def tell(**what: Any) -> None:
    """Say something to the parent."""
    if is_first():  # of several processes, one speaks
        print(json.dumps(what), flush=True)  # noqa: T201 - stdout is the channel to the parent


def _every(steps: int) -> int:
    return max(1, steps // CHECKS)


def _hear_losses(trainer: Any, hear: Any) -> None:
    """Have `hear` called with the loss of every pass that the trainer adds up."""
    step = trainer.training_step

    def heard(*given: Any, **named: Any) -> Any:
        loss = step(*given, **named)
        hear(float(loss))
        return loss

    trainer.training_step = heard
