"""The half of a constrained trainer that does not depend on the method: rows in batches, duals, checks, figures.

In: a plan. Out: a mix-in for a TRL trainer. Must not know which loss is constrained.

TRL 1.16 averages inside one monolithic `_compute_loss`, so a weight per row needs that private method. What is
overridden is checked against the installed TRL before it is relied on (`problem`); where it no longer fits, the run
falls back to resampling.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sharpen.errors import Refused
from sharpen.training.constraints.batches import TwinSampler
from sharpen.training.constraints.duals import Duals, duals_of
from sharpen.training.constraints.plan import Plan
from sharpen.training.constraints.terms import Terms

AGREES = 1e-4  # chosen: ten times what two fp32 sums of the same log-probabilities differ by
PROBED_ROWS = 4
SEALED = {
    "_compute_loss": ["model", "inputs", "return_outputs"],
    "_set_signature_columns_if_needed": [],
    "_get_train_sampler": ["train_dataset"],
}


class RowCollator:
    """The trainer's own collator, and the items' numbers beside what it makes."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch."""
        batch: dict[str, Any] = self._collate(examples)
        return {**batch, "row": torch.tensor([example["row"] for example in examples])}


def signature_problem(kind: type, more: Mapping[str, list[str]] | None = None) -> str:
    """Say which private method of a TRL trainer is not what the constrained one relies on; '' if all are."""
    for name, expected in {**SEALED, **(more or {})}.items():
        method = getattr(kind, name, None)
        if method is None:
            return f"{kind.__name__} has no {name}"
        found = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
        if found != expected:
            return f"{kind.__name__}.{name} takes {found}, not {expected}"
    return ""


class Constrained:
    """Mixed into a TRL trainer in front of it: `class Fair(Constrained, DPOTrainer)`."""

    keeps_order = False  # whether the data set's order already is the batches' order

    # What the trainer behind it brings along.
    accelerator: Any
    args: Any
    callback_handler: Any
    data_collator: Any
    model: Any
    train_dataset: Any
    _compute_loss: Any
    _metrics: Any
    _prepare_inputs: Any
    _signature_columns: Any

    def __init__(self, *args: Any, plan: Plan, untrained: float, anchor: float = 0.0, **named: Any) -> None:
        self.plan = plan
        self.is_neutral = False
        self.anchor_weight = anchor
        super().__init__(*args, callbacks=[Duals.of(plan, untrained)], **named)  # type: ignore[call-arg]
        if len(self.train_dataset) == 0:
            raise Refused("Every prompt is longer than max_length.", "raise [training] max_length")
        self.data_collator = RowCollator(self.data_collator)
        self.terms = Terms(plan, self.accelerator.device)

    @property
    def duals(self) -> Duals:
        """The run's duals."""
        return duals_of(self)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if "row" not in self._signature_columns:
            self._signature_columns.append("row")

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.plan.contrasts is None or self.keeps_order:
            return super()._get_train_sampler(train_dataset)  # type: ignore[misc]
        data = self.train_dataset if train_dataset is None else train_dataset
        return TwinSampler(
            self.plan.contrasts.set_N[np.array(data["row"])], self.args.per_device_train_batch_size, self.args.seed
        )

    def constrained(
        self, row_B: torch.Tensor, loss_B: torch.Tensor, policy_B: torch.Tensor, reference_B: torch.Tensor
    ) -> torch.Tensor:
        """Return the weighed mean of the rows' losses and the priced gap, nats, and let the duals see both."""
        if self.is_neutral:
            return loss_B.mean()
        loss = (self.terms.weights(row_B, self.duals) * loss_B).mean()
        penalty, gap_sum, gap_count = self.terms.penalty(row_B, policy_B, reference_B, self.plan.settings.space)
        if self.model.training:
            sums = self.terms.sums(row_B, loss_B, gap_sum, gap_count)
            self.duals.observe(self.accelerator.reduce(sums, "sum").cpu().numpy().astype(float))
            told = self._metrics["train"]
            for name, value in self.duals.told(self._rows_by_group()).items():
                told[f"fairness/{name}"].append(value)
        return loss + self.duals.multiplier * penalty

    def problem(self) -> str:
        """Say how the unconstrained loss differs from TRL's own on the same batch, or '' where it does not.

        This is how a change inside TRL is noticed that leaves the names as they are.
        """
        examples = [self.train_dataset[at] for at in range(min(PROBED_ROWS, len(self.train_dataset)))]
        self.is_neutral = True
        try:
            with torch.no_grad():
                batch = self._prepare_inputs(self.data_collator(examples))
                for name in [name for name in batch if name.startswith("ref_")]:
                    # Away from the reference, where the loss would be the same whatever became of the formula.
                    shift_B = torch.linspace(-3, 2, len(batch[name]), device=batch[name].device)
                    batch[name] = batch[name] + (shift_B if "rejected" not in name else -shift_B / 2)
                ours = float(self._compute_loss(self.model, dict(batch), False))
                batch.pop("row")
                theirs = float(super()._compute_loss(self.model, dict(batch), False))  # type: ignore[misc]
        except Refused:
            raise
        except Exception as error:  # a private method may fail in any way once it has changed
            return f"{type(error).__name__}: {error}"
        finally:
            self.is_neutral = False
            self._metrics["train"].clear()
            self._metrics["eval"].clear()
        return "" if abs(ours - theirs) <= AGREES else f"unconstrained, our loss is {ours:.6f} and TRL's {theirs:.6f}"

    def constraint_metrics(self) -> Mapping[str, float]:
        """Return what the run's record says about the constraints."""
        dropped = len(self.plan.items) - len(self.train_dataset)
        told = self.plan.told | self.duals.told(self._rows_by_group())
        return told | {"constraints_by_resampling": 0.0, "rows_dropped_as_too_long": float(dropped)}

    def _rows_by_group(self) -> np.ndarray | None:
        return None if self.plan.groups is None else np.bincount(self.plan.groups.index_N)
