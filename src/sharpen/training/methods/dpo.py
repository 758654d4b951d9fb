"""Direct preference optimisation on pairs of a chosen and a rejected answer.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: Rafailov et al. 2023, equation 7. The reference model is the base under the adapter, and its log-probabilities
are computed once before training.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.shared import arguments


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over those `rows` that have a rejected answer (messages, chosen, rejected)."""
    data = Dataset.from_list(
        [
            {
                "prompt": row["messages"],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
            }
            for row in rows
            if row["rejected"] is not None
        ]
    )
    config = DPOConfig(
        **arguments(job, scratch, len(data)), beta=job.recipe.beta, loss_type=["sigmoid"], precompute_ref_log_probs=True
    )
    return DPOTrainer(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job))
