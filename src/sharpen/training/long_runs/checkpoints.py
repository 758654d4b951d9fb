"""Where a run goes on after a kill: weights, optimizer, schedule and random numbers, in safetensors and JSON.

In: a trainer between two steps. Out: a folder, there whole or not at all; or the trainer as it was. Must not know why
it is asked. Nothing is pickled: Transformers' own checkpoints are, and are never written or read here.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sharpen.durable import sync
from sharpen.errors import TrainerError
from sharpen.failpoints import failpoint

_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_TRAINER = "trainer_state.json"  # Transformers' name: its trainer reads it
_STEP = "step-"


def save(home: Path, trainer: Any, extra: dict[str, Any]) -> Path:
    """Write a checkpoint of the last finished step and remove older ones. Raises: TrainerError when the disk refuses.

    `extra` is what the caller wants back, as JSON. Numbers survive as they are: JSON holds every digit of a float.
    """
    final = home / f"{_STEP}{trainer.state.global_step}"
    partial = home / f".{final.name}"
    optimizer = trainer.optimizer.state_dict()
    tensors = {f"weight/{name}": value for name, value in _trained(trainer).items()}
    scalars: dict[str, dict[str, Any]] = {}
    for index, slots in optimizer["state"].items():
        for name, value in slots.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                scalars.setdefault(str(index), {})[name] = value
    tensors["random/torch"] = torch.get_rng_state()
    for device, state in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []):
        tensors[f"random/cuda/{device}"] = state
    generator, words, *rest = np.random.get_state()
    told = {
        "groups": optimizer["param_groups"],
        "scalars": scalars,
        "schedule": trainer.lr_scheduler.state_dict(),
        "python": random.getstate(),
        "numpy": [str(generator), np.asarray(words).tolist(), *rest],
        "extra": extra,
    }
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial / _TENSORS)
        (partial / _STATE).write_text(json.dumps(told), encoding="utf-8")
        _keep_callbacks(trainer)
        trainer.state.save_to_json(str(partial / _TRAINER))
        for path in (*partial.iterdir(), partial):
            sync(path)
        failpoint("train.before_checkpoint")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        sync(home)
    except (OSError, SafetensorError) as error:
        raise TrainerError(f"The checkpoint {final} cannot be written: {error}", "check the disk's space") from error
    failpoint("train.after_checkpoint")
    for older in home.glob(f"{_STEP}*"):
        if older != final:
            shutil.rmtree(older, ignore_errors=True)
    return final


def newest(home: Path) -> Path | None:
    """Return the checkpoint to go on from, if there is one."""
    found = [path for path in home.glob(f"{_STEP}*") if (path / _STATE).is_file()]
    return max(found, key=lambda path: int(path.name.removeprefix(_STEP)), default=None)


def extra_of(folder: Path) -> dict[str, Any]:
    """Return what the caller of `save` wanted back."""
    kept: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))["extra"]
    return kept


def make_resumable(trainer: Any) -> None:
    """Have the trainer load our checkpoints where it would load Transformers' own."""
    kind = type(trainer)

    def load_weights(self: Any, folder: str, model: Any = None) -> None:
        put_weights(self.model, _tensors(Path(folder)))

    def load_optimizer(self: Any, folder: str | None) -> None:
        if folder:
            _put_optimizer(self, Path(folder))

    def load_random(self: Any, folder: str | None) -> None:
        if folder:
            _put_random(Path(folder))

    trainer.__class__ = type(
        kind.__name__,
        (kind,),
        {
            "_load_from_checkpoint": load_weights,
            "_load_optimizer_and_scheduler": load_optimizer,
            "_load_rng_state": load_random,
        },
    )


def put_weights(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Give the trained weights of a model the values they had."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.copy_(tensors[f"weight/{name}"])


def save_weights(path: Path, trainer: Any) -> None:
    """Write the trained weights alone. Raises: TrainerError when the disk refuses."""
    partial = path.with_name(f".{path.name}")
    try:
        save_file({f"weight/{n}": w.detach().cpu().contiguous() for n, w in _trained(trainer).items()}, partial)
        sync(partial)
        partial.rename(path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise TrainerError(f"The weights {path} cannot be written: {error}", "check the disk's space") from error


def load_weights_file(path: Path, trainer: Any) -> None:
    """Bring back what `save_weights` wrote."""
    put_weights(trainer.model, load_file(path))


def _trained(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    try:
        found: dict[str, torch.Tensor] = load_file(folder / _TENSORS)
    except (OSError, SafetensorError) as error:
        raise TrainerError(f"The checkpoint {folder} cannot be read: {error}", f"rm -r {folder}") from error
    return found


def _put_optimizer(trainer: Any, folder: Path) -> None:
    told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    state: dict[int, dict[str, Any]] = {int(index): slots for index, slots in told["scalars"].items()}
    for name, value in _tensors(folder).items():
        kind, _, place = name.partition("/")
        if kind == "optimizer":
            index, _, slot = place.partition("/")
            state.setdefault(int(index), {})[slot] = value
    groups = [{**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in told["groups"]]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
    trainer.lr_scheduler.load_state_dict(told["schedule"])


def _put_random(folder: Path) -> None:
    told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    tensors = _tensors(folder)
    version, words, gauss = told["python"]
    random.setstate((version, tuple(words), gauss))
    generator, state, *rest = told["numpy"]
    np.random.set_state((generator, np.array(state, dtype=np.uint32), *rest))
    torch.set_rng_state(tensors["random/torch"])
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device in range(devices):
        if (state_of := tensors.get(f"random/cuda/{device}")) is not None:
            torch.cuda.set_rng_state(state_of, device)


def _keep_callbacks(trainer: Any) -> None:
    """Put what callbacks want to keep into the trainer's state, as Transformers' own checkpoints do."""
    from transformers.trainer_callback import ExportableState

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ExportableState):
            trainer.state.stateful_callbacks[type(callback).__name__] = callback.state()
