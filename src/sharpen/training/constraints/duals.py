"""The dual variables of a run: group weights and the gap's multiplier, moved once per optimizer step.

In: sums over each micro-batch. Out: the weights that the next loss uses. Must not know how the loss is computed.

They are a callback with an exportable state, so that Transformers writes them into the checkpoint's
`trainer_state.json`, and a run that goes on continues the duals instead of beginning them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from sharpen.config import FairnessSection
from sharpen.fairness.duals import next_multiplier, next_shares, smoothed
from sharpen.training.constraints.plan import Plan

MIN_NAMED = 20  # rows: the figures of a smaller group are not told (k-anonymity)
UNTRAINED = float(np.log(2))  # DPO's loss at the reference
UNTRAINED_KTO = 0.5  # KTO's, where reward and KL are 0


class Duals(TrainerCallback, ExportableState):
    """Weights by group, the multiplier, and the moving averages that steer them."""

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        names: list[str],
        observed: list[float],
        target: list[float],
        baseline: list[float],
        has_twins: bool,
    ) -> None:
        self._args: dict[str, Any] = {
            "settings": settings,
            "names": names,
            "observed": observed,
            "target": target,
            "baseline": baseline,
            "has_twins": has_twins,
        }
        self.settings = FairnessSection.model_validate(settings)
        # Plain lists and floats, because these are what the checkpoint holds.
        self.shares = list(target)
        self.losses: list[float | None] = [None] * len(names)
        self.gap: float | None = None
        self.multiplier = min(self.settings.gap_weight, self.settings.max_gap_weight) if has_twins else 0.0
        self._pending = np.zeros(2 * len(names) + 2)

    @classmethod
    def of(cls, plan: Plan, untrained: float) -> Duals:
        """Return the duals of a plan at their start; `untrained` is the loss per row at the reference."""
        groups = plan.groups
        names = list(groups.names) if groups else []
        return cls(
            settings=plan.settings.model_dump(mode="json"),
            names=names,
            observed=groups.observed_G.tolist() if groups else [],
            target=groups.target_G.tolist() if groups else [],
            baseline=[plan.settings.reference_loss.get(name, untrained) for name in names],
            has_twins=plan.contrasts is not None,
        )

    @property
    def baseline(self) -> np.ndarray:
        """The loss that each group is measured from, nats."""
        return np.array(self._args["baseline"])

    @property
    def target(self) -> np.ndarray:
        """The share that each group ought to have."""
        return np.array(self._args["target"])

    def factors(self) -> np.ndarray:
        """Return share / observed share per group: what a row's loss is multiplied by.

        The mean over all rows of factor times loss is then the sum of share times mean loss over groups, whatever
        groups a batch happens to hold.
        """
        return np.asarray(np.array(self.shares) / np.array(self._args["observed"]))

    def observe(self, sums: np.ndarray) -> None:
        """Add a micro-batch of all processes: weighted losses by group, weights by group, the gap's sum and count."""
        self._pending += sums

    def update(self) -> None:
        """Move the duals by what the optimizer step has seen; by nothing if it has seen nothing."""
        if not self._pending.any():
            return
        count = len(self.shares)
        losses_G, weights_G = self._pending[:count], self._pending[count : 2 * count]
        gap_sum, gap_count = self._pending[2 * count :]
        self._pending = np.zeros_like(self._pending)
        settings = self.settings
        if count:
            seen_G = np.divide(losses_G, weights_G, out=np.full(count, np.nan), where=weights_G > 0)
            smooth_G = smoothed(np.array(self.losses, dtype=float), seen_G)
            self.losses = [None if np.isnan(loss) else float(loss) for loss in smooth_G]
            self.shares = next_shares(
                np.array(self.shares),
                smooth_G - self.baseline,
                self.target,
                rate=settings.group_rate,
                mix=settings.mix,
                cap=settings.cap,
            ).tolist()
        if gap_count:
            last = np.array([np.nan if self.gap is None else self.gap])
            self.gap = float(smoothed(last, np.array([gap_sum / gap_count]))[0])
            self.multiplier = next_multiplier(
                self.multiplier,
                self.gap,
                tolerance=settings.gap,
                rate=settings.gap_rate,
                most=settings.max_gap_weight,
            )

    def told(self, rows_by_group: np.ndarray | None = None) -> dict[str, float]:
        """Return the figures for a run's metrics; without the groups that are too small to be named."""
        told: dict[str, float] = {}
        if self._args["has_twins"]:
            told["twin_gap_weight"] = self.multiplier
        if self.gap is not None:
            told["twin_gap"] = self.gap
        for at, name in enumerate(self._args["names"]):
            if rows_by_group is not None and rows_by_group[at] < MIN_NAMED:
                continue
            told[f"group_weight/{name}"] = self.shares[at]
            if (loss := self.losses[at]) is not None:
                told[f"group_loss/{name}"] = loss
        return told

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as JSON."""
        kept = {"shares": self.shares, "losses": self.losses, "gap": self.gap, "multiplier": self.multiplier}
        return {"args": self._args, "attributes": kept}

    def on_train_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Take the duals of the checkpoint that the run goes on from."""
        kept = state.stateful_callbacks.get(type(self).__name__)
        if state.global_step and isinstance(kept, dict):
            for name, value in kept["attributes"].items():
                setattr(self, name, value)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Update once per optimizer step, never per micro-batch."""
        self.update()


def duals_of(trainer: Any) -> Duals:
    """Find a trainer's duals: Transformers may have put others in their place when the run went on."""
    return next(one for one in trainer.callback_handler.callbacks if isinstance(one, Duals))
