"""Supervised fine-tuning on chosen answers: rejection-sampling SFT when the answers are the model's own.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: STaR, Zelikman et al. 2022 (fine-tune on own answers that a verifier accepted); loss on the answer alone.
"""

from __future__ import annotations

import inspect
from typing import Any

from datasets import Dataset
from torch.nn.functional import cross_entropy
from trl import SFTConfig, SFTTrainer

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.shared import arguments


class AnswerTrainer(SFTTrainer):
    """TRL's trainer, with logits only where an answer's token is predicted: the same loss, in less time.

    A prompt of sixty tokens with an answer of two needs two rows of logits, not sixty; with a vocabulary of 49k and a
    model of 135M parameters the head is a third of the work.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean negative log-likelihood of the answers' tokens, nats, as a scalar tensor.

        `inputs` holds input_ids, attention_mask and labels, each (batch, tokens); labels are -100 where no answer is.
        """
        bare = self.accelerator.unwrap_model(model)
        forward = getattr(bare, "get_base_model", lambda: bare)().forward  # every weight is trained: no adapter
        labels_BT = inputs["labels"]
        # Rows differ in where their answers are; the union of the places serves all.
        answered_K = (labels_BT != -100).any(dim=0).nonzero().squeeze(1)
        is_mostly_answer = 2 * len(answered_K) > labels_BT.shape[1]  # TRL's head in chunks then takes less memory
        is_special = return_outputs or self.aux_loss_enabled
        if is_mostly_answer or is_special or "logits_to_keep" not in inspect.signature(forward).parameters:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        logits_BKV = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs.get("attention_mask"),
            logits_to_keep=answered_K - 1,  # position t predicts token t+1
            use_cache=False,
        ).logits
        targets_BK = labels_BT[:, answered_K]
        total = cross_entropy(
            logits_BKV.flatten(0, 1).float(), targets_BK.flatten(), ignore_index=-100, reduction="sum"
        )
        count = (targets_BK != -100).sum() if num_items_in_batch is None else num_items_in_batch
        loss = total / count
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # DDP averages what was summed over every process's tokens
        return loss


def build(
    job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str, *, kind: Any = AnswerTrainer
) -> Any:
    """Return a trainer over `rows` (messages, chosen); `kind` is its class, a benchmark's peer in place of ours."""
    data = Dataset.from_list(
        [{"prompt": row["messages"], "completion": [{"role": "assistant", "content": row["chosen"]}]} for row in rows]
    )
    config = SFTConfig(**arguments(job, scratch, len(rows)), completion_only_loss=True, packing=False)
    return kind(model, config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job))
