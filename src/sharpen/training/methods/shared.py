"""What every method's trainer is told alike: the recipe in Transformers' words.

In: a job. Out: keyword arguments. Must not know any one algorithm, or the adapter's shape.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from sharpen.training.job import Job
from sharpen.training.spread import spread


def arguments(job: Job, scratch: str, examples: int, *, is_cut_inside: bool = False) -> dict[str, Any]:
    """Return the TrainingArguments that the recipe says; `examples` sets the length of the warm-up.

    A job whose batch has no room in memory names a smaller portion: the gradients of several make up one step. A
    trainer that cuts its batches itself says so.
    """
    recipe = job.recipe
    portion = recipe.batch if is_cut_inside or not job.portion else job.portion
    on_gpu = torch.cuda.is_available()
    steps = math.ceil(examples / recipe.batch) * recipe.epochs
    return {
        "output_dir": scratch,
        "num_train_epochs": recipe.epochs,
        **spread(job, portion),
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(recipe.warmup_share * steps),
        "max_grad_norm": recipe.max_grad_norm,
        "max_length": recipe.max_length,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "train_sampling_strategy": "sequential" if recipe.in_order else "random",
        # TRL turns bf16 on by default; on a CPU without the instructions it is 20 to 300 times slower than fp32.
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "use_cpu": not on_gpu,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_steps": 5,
        "logging_nan_inf_filter": False,  # or a loss that is not a number would be reported as one that is
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }
