"""Group-relative policy optimisation: answers to one prompt are compared with each other, and no value is learned.

In: a job and its prompts. Out: a TRL trainer, ready to run. Must not know where the prompts came from.

Source: Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, section 4.1; the loss is DAPO's, averaged over tokens (Yu et
al. 2025, arXiv:2503.14476, equation 8), TRL's default.
"""

from __future__ import annotations

from typing import Any

from trl import GRPOConfig, GRPOTrainer

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.groups import group_arguments, prompts_of, reward


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the prompts of `rows` (messages, reference, choices, scorer)."""
    asked = [row for row in rows if "scorer" in row]
    config = GRPOConfig(**group_arguments(job, scratch, len(asked)))
    return GRPOTrainer(
        model,
        reward_funcs=reward(job, asked),
        args=config,
        train_dataset=prompts_of(asked),
        processing_class=tokenizer,
        peft_config=lora(job),
    )
