"""Direct preference optimisation on pairs of a chosen and a rejected answer.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: Rafailov et al. 2023, equation 7. The reference model is the base under the adapter, and its log-probabilities
are computed once before training. The loss is TRL's, in less time: the prompt once for both answers, logits only where
an answer's token is predicted, and pairs of like length together inside each optimizer step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from trl import DPOConfig, DPOTrainer

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.pairs import Collator, PairLogprobs
from sharpen.training.methods.portioned import Batch, Portioned, groups, portion_tokens, take
from sharpen.training.methods.reference import References
from sharpen.training.methods.shared import arguments

_COLUMNS = ["prompt_ids", "chosen_ids", "rejected_ids", "references", "weight"]


@dataclass(frozen=True)
class Pairs:
    """What a loss of pairs is made of; everything is (pairs,), log-probabilities are sums over an answer, nats."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    mean_chosen_tokens: torch.Tensor  # a scalar, over the whole step
    beta: float

    @property
    def chosen_reward(self) -> torch.Tensor:
        """The implicit reward of the chosen answer, β log(π/π_ref)."""
        return self.beta * (self.chosen - self.reference_chosen)

    @property
    def rejected_reward(self) -> torch.Tensor:
        """The same of the rejected one."""
        return self.beta * (self.rejected - self.reference_rejected)


def sigmoid(pairs: Pairs) -> torch.Tensor:
    """Return DPO's loss per pair. Source: Rafailov et al. 2023, equation 7."""
    return -logsigmoid(pairs.chosen_reward - pairs.rejected_reward)


def nll(pairs: Pairs) -> torch.Tensor:
    """Return the chosen answers' negative log-likelihood per token; its mean over the pairs is that over all tokens."""
    return -pairs.chosen / pairs.mean_chosen_tokens


LOSSES = {"sigmoid": sigmoid, "sft": nll}  # TRL's names


class PairTrainer(Portioned, DPOTrainer):
    """TRL's trainer with our passes of the model. `losses` is the place for another loss of the same numbers."""

    train_dataset: Any
    eval_dataset: Any

    def __init__(self, model: Any, args: DPOConfig, *, home: Any = None, portion: int = 0, **more: Any) -> None:
        """`home` is the folder where reference log-probabilities are kept, `portion` the most pairs in one pass."""
        super().__init__(model, args=args, data_collator=Collator(args.max_length), **more)
        self.portion = portion or args.per_device_train_batch_size
        probe = self.data_collator([self.train_dataset[0]])
        self.logprobs = PairLogprobs(self.model, probe)
        self.train_dataset = References(home, self.logprobs).add(self.model, self.train_dataset, self.data_collator)
        if self.eval_dataset is not None:
            self.eval_dataset = References(home, self.logprobs).add(self.model, self.eval_dataset, self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = _COLUMNS

    def cut(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into portions of pairs of like length."""
        sizes = (batch["lengths"].sum(dim=1) - 1).tolist()
        for places in groups(sizes, self.portion, portion_tokens()):
            yield take(batch, places)

    def losses(self, pairs: Pairs) -> torch.Tensor:
        """Return one loss per pair, before weights."""
        terms = zip(self.loss_types, self.loss_weights, strict=True)
        return sum((weight * LOSSES[name](pairs) for name, weight in terms), torch.zeros_like(pairs.chosen))

    def loss(self, model: Any, portion: Batch, batch: Batch, items: Any = None) -> torch.Tensor:
        """Return a portion's share of the batch's mean loss."""
        chosen_B, rejected_B = self.logprobs(model, portion)
        references_B2 = portion["references"]
        pairs = Pairs(
            chosen_B,
            rejected_B,
            references_B2[:, 0],
            references_B2[:, 1],
            portion["lengths"][:, 1],
            batch["lengths"][:, 1].float().mean(),
            self.beta,
        )
        self._tell(pairs, portion)
        return (portion["weights"] * self.losses(pairs)).sum() / len(batch["weights"])

    def _tell(self, pairs: Pairs, portion: Batch) -> None:
        metrics = self._metrics["train" if self.model.training else "eval"]
        margins_B = pairs.chosen_reward - pairs.rejected_reward
        told = {
            "rewards/chosen": pairs.chosen_reward,
            "rewards/rejected": pairs.rejected_reward,
            "rewards/margins": margins_B,
            "rewards/accuracies": (margins_B > 0).float(),
            "logps/chosen": pairs.chosen,
            "logps/rejected": pairs.rejected,
        }
        for name, values_B in told.items():
            metrics[name] += self.accelerator.gather(values_B.detach()).tolist()


def build(
    job: Job,
    model: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    scratch: str,
    *,
    loss_type: Sequence[str] = ("sigmoid",),
    loss_weights: Sequence[float] | None = None,
    kind: Any = PairTrainer,
    **more: Any,
) -> Any:
    """Return a trainer over those `rows` that have both answers (messages, chosen, rejected, weight).

    `kind` is its class: a constraint's own, or a benchmark's peer in place of ours; `more` goes into TRL's arguments.
    """
    paired = [row for row in rows if row["chosen"] is not None and row["rejected"] is not None]
    data = Dataset.from_list(
        [
            {
                "prompt": row["messages"],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
                "weight": float(row.get("weight", 1.0)),
            }
            for row in paired
        ]
    )
    told = arguments(job, scratch, len(data), is_cut_inside=issubclass(kind, PairTrainer))
    weights = None if loss_weights is None else list(loss_weights)
    config = DPOConfig(**told, beta=job.recipe.beta, loss_type=list(loss_type), loss_weights=weights, **more)
    own = {"home": job.references, "portion": job.portion} if issubclass(kind, PairTrainer) else {}
    return kind(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job), **own)
