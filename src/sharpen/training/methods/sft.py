"""Supervised fine-tuning on chosen answers: rejection-sampling SFT when the answers are the model's own.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: STaR, Zelikman et al. 2022 (fine-tune on own answers that a verifier accepted); loss on the answer alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.answer_logprobs import NOTHING, AnswerLogprobs
from sharpen.training.methods.packing import bins, is_understood, packed
from sharpen.training.methods.portioned import Batch, Portioned, groups, portion_tokens, take
from sharpen.training.methods.shared import arguments


@dataclass(frozen=True)
class Collator:
    """TRL's batch, and each row's weight."""

    plain: DataCollatorForLanguageModeling

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return input_ids, labels and attention_mask, each (batch, tokens), and weights (batch,)."""
        batch: Batch = self.plain(rows)
        return batch | {"weights": torch.tensor([float(row.get("weight", 1.0)) for row in rows])}


class AnswerTrainer(Portioned, SFTTrainer):
    """TRL's trainer, with logits only where an answer's token is predicted: the same loss, in less time.

    With `packing`, short rows of a batch stand behind one another where the longest has one: the same loss again, with
    less padding.
    """

    data_collator: Any

    def __init__(self, model: Any, args: SFTConfig, *, portion: int = 0, packing: bool = False, **more: Any) -> None:
        super().__init__(model, args=args, **more)
        self.data_collator = Collator(self.data_collator)
        self.portion = portion or args.per_device_train_batch_size
        probe = self.data_collator([self.train_dataset[i] for i in range(min(2, len(self.train_dataset)))])
        self._answers = AnswerLogprobs(self.model, probe["input_ids"][0])
        self.packing = packing and is_understood(self.model, probe["input_ids"], probe["attention_mask"])

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "labels", "weight"]

    def cut(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into portions of rows of like length; packed, a portion is one row that holds several."""
        sizes = batch["attention_mask"].sum(dim=1).tolist()
        if self.packing:
            for places in bins(sizes, rows=self.portion, tokens=portion_tokens()):
                yield packed(take(batch, places))
            return
        for places in groups(sizes, self.portion, portion_tokens()):
            width = max(sizes[i] for i in places)
            some = take(batch, places)
            yield {name: value[:, :width] if value.ndim == 2 else value for name, value in some.items()}

    def loss(self, model: Any, portion: Batch, batch: Batch, items: Any = None) -> torch.Tensor:
        """Return the portion's share of the mean negative log-likelihood of the batch's answer tokens, nats."""
        labels_BT = portion["labels"]
        targets_BT = torch.cat([labels_BT[:, 1:], torch.full_like(labels_BT[:, :1], NOTHING)], dim=1)
        inputs = {name: value for name, value in portion.items() if name not in ("labels", "weights")}
        logps_BT = self._answers(model, inputs, targets_BT)
        weights = portion["weights"] if portion["weights"].ndim == 2 else portion["weights"][:, None]
        count = (batch["labels"][:, 1:] != NOTHING).sum() if items is None else items
        return -(weights * logps_BT).sum() / count


def build(
    job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str, *, kind: Any = AnswerTrainer
) -> Any:
    """Return a trainer over `rows` (messages, chosen, weight); `kind` is its class, a benchmark's peer for ours."""
    data = Dataset.from_list(
        [
            {
                "prompt": row["messages"],
                "completion": [{"role": "assistant", "content": row["chosen"]}],
                "weight": float(row.get("weight", 1.0)),
            }
            for row in rows
        ]
    )
    is_ours = issubclass(kind, Portioned)
    config = SFTConfig(
        **arguments(job, scratch, len(rows), is_cut_inside=is_ours), completion_only_loss=True, packing=False
    )
    own = {"portion": job.portion, "packing": job.recipe.packing} if is_ours else {}
    return kind(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job), **own)
