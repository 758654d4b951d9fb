"""How a trainer shares its work with other processes: Accelerate, DeepSpeed ZeRO or FSDP, by the recipe.

In: a job. Out: training arguments, and the whole weights when training has ended. Must not know any algorithm.

The processes share a batch: each takes its part, and the gradient is that of the whole batch, so that two give what one
gives, up to the order in which numbers are added.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor

from sharpen.training.job import Job

_DEEPSPEED = "deepspeed-"


def spread(job: Job, portion: int) -> dict[str, Any]:
    """Return the training arguments that say how the work is spread; `portion` is how much a process takes at once."""
    recipe = job.recipe
    share = recipe.batch // recipe.processes
    portion = min(portion, share)
    told: dict[str, Any] = {
        "per_device_train_batch_size": portion,
        "gradient_accumulation_steps": math.ceil(share / portion),
    }
    if recipe.launch == "single":
        return told
    if not torch.cuda.is_available():
        told["ddp_backend"] = "gloo"
    if recipe.launch.startswith(_DEEPSPEED):
        _compile_nothing()
        told["deepspeed"] = _zero(job, int(recipe.launch.removeprefix(_DEEPSPEED)), told)
    elif recipe.launch == "fsdp":
        told["fsdp"] = "full_shard auto_wrap"
        # By size, since a family's layer class is not always named: chosen so that a layer of a 135M model is one unit.
        told["fsdp_config"] = {"fsdp_version": 2, "auto_wrap_policy": "SIZE_BASED_WRAP", "min_num_params": 1_000_000}
    else:
        told["ddp_find_unused_parameters"] = False
    return told


def _compile_nothing() -> None:
    """Keep DeepSpeed on a CPU from compiling its own communication in the middle of a run: gloo does it.

    A child that is killed while it compiles leaves a lock behind, and every later one would wait for it.
    """
    if torch.cuda.is_available():
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _zero(job: Job, stage: int, told: dict[str, Any]) -> dict[str, Any]:
    """Return DeepSpeed's configuration. Torch's AdamW, because DeepSpeed's own would be compiled first."""
    recipe = job.recipe
    return {
        "zero_optimization": {"stage": stage},
        "train_micro_batch_size_per_gpu": told["per_device_train_batch_size"],
        "gradient_accumulation_steps": told["gradient_accumulation_steps"],
        "gradient_clipping": recipe.max_grad_norm,
        "optimizer": {
            "type": "AdamW",
            # Transformers' own defaults, so that the optimizer is the one of a single process.
            "params": {
                "lr": recipe.learning_rate,
                "betas": [0.9, 0.999],
                "eps": 1e-8,
                "weight_decay": 0.0,
                "torch_adam": True,
            },
        },
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
    }


def gather(trainer: Any, job: Job) -> dict[str, Tensor] | None:
    """Return the whole model's state where each process holds a part of it, else None. Every process must call it."""
    if job.recipe.launch == "fsdp":
        return dict(trainer.accelerator.get_state_dict(trainer.model_wrapped))
    if job.recipe.launch != f"{_DEEPSPEED}3":
        return None
    import deepspeed

    parameters = dict(trainer.model.named_parameters())
    with deepspeed.zero.GatheredParameters(list(parameters.values())):
        return {name: weight.detach().cpu().clone() for name, weight in parameters.items()}


def shared_mean(value: float) -> float:
    """Return the mean over all processes of what each of them measured. Every process must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    on = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    total = torch.tensor(value, dtype=torch.float64, device=on)
    torch.distributed.all_reduce(total)
    return float(total) / int(torch.distributed.get_world_size())


def leave() -> None:
    """Let the other processes go, if there are any."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
