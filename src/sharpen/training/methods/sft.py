"""Supervised fine-tuning on chosen answers: rejection-sampling SFT when the answers are the model's own.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: STaR, Zelikman et al. 2022 (fine-tune on own answers that a verifier accepted); loss on the answer alone.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from sharpen.training.job import Job
from sharpen.training.methods.shared import arguments, lora


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over `rows` (messages, chosen)."""
    data = Dataset.from_list(
        [{"prompt": row["messages"], "completion": [{"role": "assistant", "content": row["chosen"]}]} for row in rows]
    )
    config = SFTConfig(**arguments(job, scratch, len(rows)), completion_only_loss=True, packing=False)
    return SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job))
