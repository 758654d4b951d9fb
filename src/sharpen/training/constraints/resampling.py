"""The constraints without TRL's inside: rows are drawn by their weight, and twins get the label they agree on.

In: a plan, and TRL's own trainer over its items. Out: the same trainer, drawing rows by weight. Must rely on nothing
but what TRL and Transformers document: `train_dataset`, `data_collator`, `compute_loss`, callbacks.

Rows are drawn with probability w q_g / p_g, systematically (Kitagawa 1996: the count of a row is its expectation
rounded down or up), anew each epoch; q moves between epochs by each group's loss. A twin set whose labels differ takes
the side with the greater weight; without one its rows are left out. A margin cannot be had this way: harmful answers
still lose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from sharpen.fairness.duals import next_shares
from sharpen.fairness.twins import agreed
from sharpen.training.constraints.duals import duals_of
from sharpen.training.constraints.plan import Plan

LOOKED_AT = 64  # chosen: rows per group whose loss is measured between epochs; its standard error is an eighth


def consensus(plan: Plan) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return the items with each twin set's agreed label, and how many were turned and left out."""
    if plan.contrasts is None:
        return plan.items, {}
    places: dict[tuple[int, str], list[int]] = defaultdict(list)
    for place, number in enumerate(plan.contrasts.set_N.tolist()):
        if number >= 0:
            places[number, "" if "rejected" in plan.items[place] else plan.items[place]["answer"]].append(place)
    items: dict[int, dict[str, Any]] = dict(enumerate(plan.items))
    turned = left_out = 0
    for inside in places.values():
        first = plan.items[inside[0]]
        signs = [_side(plan.items[place], first) for place in inside]
        side = agreed(signs, [plan.weight_N[place] for place in inside])
        for place, sign in zip(inside, signs, strict=True):
            if side == 0:
                del items[place]
                left_out += 1
            elif sign != side:
                items[place] = _turned(items[place])
                turned += 1
    return list(items.values()), {"twins_turned": float(turned), "twins_left_out": float(left_out)}


def _side(item: dict[str, Any], first: dict[str, Any]) -> float:
    if "rejected" in item:
        return 1.0 if item["chosen"] == first["chosen"] else -1.0
    return 1.0 if item["label"] == first["label"] else -1.0


def _turned(item: dict[str, Any]) -> dict[str, Any]:
    if "rejected" in item:
        return item | {"chosen": item["rejected"], "rejected": item["chosen"]}
    return item | {"label": not item["label"]}


def systematic(weight_N: np.ndarray, seed: int) -> np.ndarray:
    """Draw as many rows as there are, each as often as its weight says, rounded down or up."""
    count = len(weight_N)
    edges = np.cumsum(weight_N) / weight_N.sum() * count
    points = np.arange(count) + np.random.default_rng(seed).random()
    return np.minimum(np.searchsorted(edges, points, side="right"), count - 1)


class Drawn(torch.utils.data.Dataset):
    """A data set whose rows are drawn from another one."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.order = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, at: int) -> Any:
        return self.rows[int(self.order[at])]


class Redraw(TrainerCallback):
    """Draw at the start of an epoch, and move the group weights at its end."""

    def __init__(self, trainer: Any, data: Drawn, weight_N: np.ndarray, group_N: np.ndarray | None) -> None:
        self._trainer, self._data, self._weight_N, self._group_N = trainer, data, weight_N, group_N

    def on_epoch_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Draw by the present weights."""
        weight_N = self._weight_N
        if self._group_N is not None:
            weight_N = weight_N * duals_of(self._trainer).factors()[self._group_N]
        self._data.order = systematic(weight_N, args.seed + int(state.epoch or 0))

    def on_epoch_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Measure each group's loss on its own rows and move the weights, as far as an epoch of steps would."""
        if self._group_N is None:
            return
        duals = duals_of(self._trainer)
        settings = duals.settings
        losses_G = np.array([self._loss(np.flatnonzero(self._group_N == at)) for at in range(len(duals.shares))])
        duals.losses = losses_G.tolist()
        steps = max(1, round(state.max_steps / max(args.num_train_epochs, 1)))
        duals.shares = next_shares(
            np.array(duals.shares),
            losses_G - duals.baseline,
            duals.target,
            rate=min(settings.group_rate * steps, 1.0),  # chosen: a weight moves by e^2 at most between two epochs
            mix=settings.mix,
            cap=settings.cap,
        ).tolist()

    def _loss(self, places: np.ndarray) -> float:
        trainer = self._trainer
        batch = trainer.args.per_device_train_batch_size
        looked_at = places[:: max(1, len(places) // LOOKED_AT)][:LOOKED_AT]
        total = 0.0
        was_training = trainer.model.training
        trainer.model.eval()
        with torch.no_grad():
            for start in range(0, len(looked_at), batch):
                block = looked_at[start : start + batch]
                inputs = trainer.data_collator([self._data.rows[int(at)] for at in block])
                on_device = {name: value.to(trainer.accelerator.device) for name, value in inputs.items()}
                total += float(trainer.compute_loss(trainer.model, on_device)) * len(block)
        trainer.model.train(was_training)
        return total / len(looked_at)


def resampled(trainer: Any, plan: Plan, counts: Mapping[str, float]) -> Any:
    """Make TRL's own trainer, which has the plan's `Duals`, draw its rows by weight and tell its figures."""
    rows = trainer.train_dataset
    number_N = np.array(rows["row"])
    group_N = plan.groups.index_N[number_N] if plan.groups else None
    data = Drawn(rows.remove_columns("row"))
    trainer.train_dataset = data
    trainer.add_callback(Redraw(trainer, data, plan.weight_N[number_N], group_N))
    by_group = np.bincount(plan.groups.index_N) if plan.groups else None

    def told() -> dict[str, float]:
        figures = duals_of(trainer).told(by_group)
        figures.pop("twin_gap_weight", None)  # the gap is not in this loss
        return plan.told | dict(counts) | figures | {"constraints_by_resampling": 1.0}

    trainer.constraint_metrics = told
    return trainer
