"""REINFORCE with a leave-one-out baseline: an answer counts by how much better it is than the others to its prompt.

In: a job and its prompts. Out: a TRL trainer, ready to run. Must not know where the prompts came from.

Source: Ahmadian et al. 2024, Back to Basics, arXiv:2402.14740, equation 9; the KL to the base is part of the reward.
"""

from __future__ import annotations

from typing import Any

from trl import RLOOConfig, RLOOTrainer

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.groups import group_arguments, prompts_of, reward


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the prompts of `rows` (messages, reference, choices, scorer)."""
    asked = [row for row in rows if "scorer" in row]
    config = RLOOConfig(**group_arguments(job, scratch, len(asked)))
    return RLOOTrainer(
        model,
        reward_funcs=reward(job, asked),
        args=config,
        train_dataset=prompts_of(asked),
        processing_class=tokenizer,
        peft_config=lora(job),
    )
