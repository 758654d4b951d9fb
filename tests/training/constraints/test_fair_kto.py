from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from trl import KTOTrainer

from sharpen.training.constraints.batches import rotated_order
from sharpen.training.constraints.fair_kto import FairKTOTrainer


def moved(trainer: Any) -> dict[str, Any]:
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return dict(trainer.data_collator([trainer.train_dataset[at] for at in range(8)]))


def loss_and_gradient(trainer: Any, kind: Any, batch: dict[str, Any]) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    loss = kind._compute_loss(trainer, trainer.model, dict(batch), False)
    loss.backward()
    return loss.item(), torch.cat([one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None])


def test_with_the_constraints_off_the_loss_is_that_of_trl(make: Any, rows: Any) -> None:
    liked = [row if at % 4 else row | {"rejected": None} for at, row in enumerate(rows)]
    trainer = make(liked, "kto")
    batch = moved(trainer)
    batch["ref_logps"] = batch["ref_logps"] + torch.linspace(-2, 4, 8)
    ours, our_gradient = loss_and_gradient(trainer, FairKTOTrainer, batch)
    del batch["row"]
    theirs, their_gradient = loss_and_gradient(trainer, KTOTrainer, batch)
    assert abs(theirs - 0.5) > 0.005
    assert ours == pytest.approx(theirs, abs=1e-5)
    torch.testing.assert_close(our_gradient, their_gradient, atol=1e-5, rtol=1e-4)


def test_a_group_that_is_mostly_voted_down_is_balanced_within_itself(make: Any, rows: Any) -> None:
    unpaired = []
    for at, row in enumerate(rows):  # of A three of four are found good, of B one of four
        good = (at // 2) % 4 != 0 if row["group"] == "A" else (at // 2) % 4 == 0
        unpaired.append(row | ({"rejected": None} if good else {"chosen": None}))
    trainer = make(unpaired, "kto", {"groups": True, "min_group": 1})
    weight_N = trainer.plan.weight_N
    label_N = np.array([item["label"] for item in trainer.plan.items])
    group_N = trainer.plan.groups.index_N
    for group in (0, 1):
        inside = group_N == group
        assert weight_N[inside & label_N].sum() == pytest.approx(weight_N[inside & ~label_N].sum())
    assert weight_N[(group_N == 1) & label_N].mean() == pytest.approx(2)
    assert weight_N[(group_N == 1) & ~label_N].mean() == pytest.approx(2 / 3)
    batch = moved(trainer)
    value_B = torch.zeros(8)
    losses_B = torch.linspace(0, 1, 8)
    trainer.model.eval()
    found = trainer.constrained(batch["row"], losses_B, value_B, value_B).item()
    assert found == pytest.approx(float((weight_N[batch["row"]] * losses_B.numpy()).mean()), abs=1e-5)


def test_the_answers_of_the_kl_estimate_are_mismatched_although_twins_share_theirs(make: Any, rows: Any) -> None:
    trainer = make(rows, "kto", {"twins": True}, batch=8)
    for example in trainer.train_dataset:
        assert example["KL_completion_ids"] != example["completion_ids"]
    assert trainer.constraint_metrics()["kl_answers_not_mismatched_share"] == 0
    loader = trainer.get_train_dataloader()
    for batch in loader:  # the blocks that TRL rotated are the batches, and each holds whole sets
        items = [trainer.plan.items[row] for row in batch["row"]]
        names = [item["twin"] for item in items]
        assert all(names.count(name) == 4 for name in names)


def test_where_one_answer_fills_a_batch_the_share_that_cannot_be_mismatched_is_told() -> None:
    order, same = rotated_order(np.full(8, -1), ["yes"] * 7 + ["no"], 8, 0)
    assert sorted(order) == list(range(8))
    assert same == 6 / 8


def test_margins_are_held_in_policy_space_and_single_answers_against_drift_alone(make: Any, rows: Any) -> None:
    single = [row | {"rejected" if row["chosen"] == "decline" else "chosen": None} for row in rows]  # "decline" alone
    # A random model prefers one answer by name already; only with two answers per prompt is that comparable.
    for data, is_drift in ((rows, False), (single, True)):
        trainer = make(data, "kto", {"twins": True, "space": "policy"}, batch=8)
        batch = trainer.data_collator([trainer.train_dataset[at] for at in range(8)])
        policy_B, reference_B = torch.randn(8), torch.zeros(8)
        penalty, _, count = trainer.terms.penalty(batch["row"], policy_B, policy_B, "policy")
        assert count > 0
        assert (penalty.item() == 0) is is_drift
        assert trainer.terms.penalty(batch["row"], policy_B, reference_B, "policy")[0].item() > 0
        assert (trainer.constraint_metrics()["twins_comparable_for_drift_only"] > 0) is is_drift
