"""Group-relative policy optimisation: answers to one prompt are compared with each other, and no value is learned.

In: a job and its prompts. Out: a TRL trainer, ready to run. Must not know where the prompts came from.

Source: Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, section 4.1; the loss is DAPO's, averaged over tokens (Yu et
al. 2025, arXiv:2503.14476, equation 8), TRL's default.
"""

from __future__ import annotations

from typing import Any

from trl import GRPOConfig, GRPOTrainer

from sharpen.training.job import Job
from sharpen.training.methods.groups import compared


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the prompts of `rows` (messages, reference, choices, scorer)."""
    return compared(job, model, tokenizer, rows, scratch, kind=GRPOTrainer, config=GRPOConfig)
