from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from trl import DPOTrainer

from sharpen.training.constraints.fair_dpo import FairDPOTrainer

SURE = {"flip_share": 0.0}


def batch_of(trainer: Any, count: int = 6) -> dict[str, Any]:
    with torch.no_grad():  # away from the reference, where every loss is log 2
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return dict(trainer.data_collator([trainer.train_dataset[at] for at in range(count)]))


def loss_and_gradient(trainer: Any, kind: Any, batch: dict[str, Any]) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    loss = kind._compute_loss(trainer, trainer.model, dict(batch), False)
    loss.backward()
    return loss.item(), torch.cat([one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None])


def by_trl(trainer: Any, batch: dict[str, Any]) -> tuple[float, torch.Tensor]:
    return loss_and_gradient(trainer, DPOTrainer, {name: value for name, value in batch.items() if name != "row"})


@pytest.mark.parametrize(
    "fairness",
    [
        SURE,
        {},  # TRL's `robust` at the same flip share
        # Constraints that are on, but have no room: the cap holds the weights at the shares there are, the price at 0.
        SURE | {"groups": True, "cap": 1.0, "min_group": 1, "twins": True, "gap_weight": 0.0, "max_gap_weight": 0.0},
    ],
)
def test_with_the_constraints_off_the_loss_is_that_of_trl(make: Any, rows: Any, fairness: dict[str, Any]) -> None:
    trainer = make(rows, fairness=fairness)
    batch = batch_of(trainer)
    ours, our_gradient = loss_and_gradient(trainer, FairDPOTrainer, batch)
    theirs, their_gradient = by_trl(trainer, batch)
    assert abs(theirs - math.log(2)) > 0.01
    assert ours == pytest.approx(theirs, abs=1e-5)
    torch.testing.assert_close(our_gradient, their_gradient, atol=1e-5, rtol=1e-4)


def test_weights_margins_and_prices_enter_as_the_formula_says(make: Any, rows: Any) -> None:
    for row, weight in zip(rows, [1.0, 3.0] * 12, strict=True):
        row |= {"weight": weight, "violations": {"chosen": [], "rejected": ["harm"] if weight > 1 else []}}
    trainer = make(
        rows, fairness={"twins": True, "principles": ["harm"], "space": "policy", "margin": 1.5, "anchor": 0.0}
    )
    batch = batch_of(trainer, 4)
    trainer.duals.multiplier = 2.0
    with torch.no_grad():
        named = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logps_BTV = trainer.model(**named).logits[:, :-1].log_softmax(-1)
    each_BT = logps_BTV.gather(2, batch["input_ids"][:, 1:, None]).squeeze(2) * batch["completion_mask"][:, 1:]
    chosen, rejected = each_BT.sum(1).chunk(2)
    odds = (chosen - rejected).numpy()
    margins = 0.3 * (odds - (batch["ref_chosen_logps"] - batch["ref_rejected_logps"]).numpy())
    margins -= 1.5 * np.array([0.0, 1.0, 0.0, 1.0])
    losses = (0.9 * np.logaddexp(0, -margins) - 0.1 * np.logaddexp(0, margins)) / 0.8
    signs = np.array([1.0 if row["chosen"] == "invite" else -1.0 for row in rows[:4]])
    gaps = np.abs((signs * odds)[[0, 2]] - (signs * odds)[[1, 3]])
    huber = np.where(gaps <= 1, gaps**2 / 2, gaps - 0.5)
    expected = (losses * np.array([0.5, 1.5, 0.5, 1.5])).mean() + 2.0 * huber.mean()
    assert loss_and_gradient(trainer, FairDPOTrainer, batch)[0] == pytest.approx(expected, abs=1e-4)


def test_the_anchor_is_the_likelihood_of_the_chosen_answer(make: Any, rows: Any) -> None:
    trainer = make(rows, fairness=SURE | {"anchor": 0.5})
    batch = batch_of(trainer)
    ours = loss_and_gradient(trainer, FairDPOTrainer, batch)[0]
    trainer.loss_types, trainer.loss_weights = ["sigmoid", "sft"], [1.0, 0.5]
    assert ours == pytest.approx(by_trl(trainer, batch)[0], abs=1e-5)


def test_in_reward_space_a_gap_that_the_reference_has_costs_nothing(make: Any, rows: Any) -> None:
    untrained = {space: make(rows, fairness=SURE | {"twins": True, "space": space}) for space in ("reward", "policy")}
    prices = {}
    for space, trainer in untrained.items():
        trainer.duals.multiplier = 1000.0
        batch = trainer.data_collator([trainer.train_dataset[at] for at in range(6)])
        prices[space] = trainer._compute_loss(trainer.model, batch, False).item() - math.log(2)
    assert prices["reward"] == pytest.approx(0, abs=1e-3)
    assert prices["policy"] > 0.01


def test_group_weights_move_towards_the_group_that_loses_more(make: Any, rows: Any) -> None:
    trainer = make(rows, fairness=SURE | {"groups": True, "min_group": 1, "group_rate": 0.5})
    row_B = torch.tensor([0, 1, 2, 3])
    losses = torch.tensor([0.1, 2.0, 0.1, 2.0])
    value_B = torch.zeros(4, requires_grad=True)
    trainer.model.train()
    first = trainer.constrained(row_B, losses, value_B, value_B).item()
    assert first == pytest.approx(1.05)  # the shares are the target still
    trainer.duals.update()
    told = trainer.constraint_metrics()
    assert trainer.duals.shares[1] > 0.6 > 0.4 > trainer.duals.shares[0]
    assert not [name for name in told if name.startswith("group_")]  # twelve rows are too few to be named
    second = trainer.constrained(row_B, losses, value_B, value_B).item()
    assert second == pytest.approx(0.1 * trainer.duals.shares[0] + 2.0 * trainer.duals.shares[1])


def test_every_batch_holds_whole_twin_sets_and_every_epoch_another_order(make: Any, rows: Any) -> None:
    trainer = make(rows, fairness={"twins": True})
    loader = trainer.get_train_dataloader()
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        epochs.append([batch["row"].tolist() for batch in loader])
    for batches in epochs:
        assert sorted(row for batch in batches for row in batch) == list(range(24))
        assert all(
            sorted(row // 2 for row in batch)[::2] == sorted(row // 2 for row in batch)[1::2] for batch in batches
        )
    assert epochs[0] != epochs[1]
