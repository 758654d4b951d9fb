"""REINFORCE with a leave-one-out baseline: an answer counts by how much better it is than the others to its prompt.

In: a job and its prompts. Out: a TRL trainer, ready to run. Must not know where the prompts came from.

Source: Ahmadian et al. 2024, Back to Basics, arXiv:2402.14740, equation 9; the KL to the base is part of the reward.
"""

from __future__ import annotations

from typing import Any

from trl import RLOOConfig, RLOOTrainer

from sharpen.training.job import Job
from sharpen.training.methods.groups import compared


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the prompts of `rows` (messages, reference, choices, scorer)."""
    return compared(job, model, tokenizer, rows, scratch, kind=RLOOTrainer, config=RLOOConfig)
