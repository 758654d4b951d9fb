from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOTrainer

from sharpen.training.job import Job, Recipe
from sharpen.training.methods import dpo

ROWS = [
    {"messages": [{"role": "user", "content": "where is my parcel " * times}], "chosen": chosen, "rejected": rejected}
    for times, chosen, rejected in (
        (1, "delivery", "who knows"),
        (3, "sales billing", "x"),
        (2, "my bill is wrong", "a long answer " * 6),
        (5, "y", "delivery and more " * 9),
    )
]
Make = Callable[..., Any]


@pytest.fixture
def trainers(tiny_base: Path, tmp_path: Path) -> Make:
    def make(rows: Any = ROWS, *, portion: int = 0, references: Path | None = None, **how: Any) -> Any:
        recipe = Recipe(
            method="dpo", epochs=1, rank=4, alpha=8, learning_rate=1e-3, batch=4, max_length=96, beta=0.5, seed=0,
            threads=1,
        )  # fmt: skip
        folders = {"base": tiny_base, "rows": tmp_path / "rows.jsonl", "adapters": tmp_path}
        job = Job(base_digest="d", recipe=recipe, portion=portion, references=references, **folders)
        model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(tiny_base)
        made = dpo.build(job, model, tokenizer, rows, str(tmp_path / "scratch"), **how)
        torch.manual_seed(1)  # away from the reference, where every loss would be log 2
        with torch.no_grad():
            for weight in made.model.parameters():
                if weight.requires_grad:
                    weight.copy_(torch.randn_like(weight) * 0.1)
        return made

    return make


def _step(trainer: Any) -> tuple[float, list[torch.Tensor]]:
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    return loss.item(), [weight.grad.clone() for weight in trainer.model.parameters() if weight.grad is not None]


@pytest.mark.parametrize(
    ("portion", "is_shared", "losses"),
    [(0, True, ("sigmoid",)), (2, True, ("sigmoid", "sft")), (0, False, ("sigmoid", "sft"))],
    ids=["at once", "in portions, with the answers' likelihood", "a prompt for each answer"],
)
def test_loss_and_gradients_are_those_of_trl(
    trainers: Make, portion: int, is_shared: bool, losses: tuple[str, ...]
) -> None:
    how = {"loss_type": losses, "loss_weights": (1.0, 0.7)[: len(losses)]}
    ours, peer = trainers(portion=portion, **how), trainers(kind=DPOTrainer, **how)
    assert ours.logprobs.is_shared
    ours.logprobs.is_shared = is_shared
    mine, my_grads = _step(ours)
    theirs, their_grads = _step(peer)
    assert mine == pytest.approx(theirs, abs=1e-5)
    assert abs(mine - 0.6931) > 0.01
    for one, other in zip(my_grads, their_grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_pair_counts_as_much_as_its_weight(trainers: Make) -> None:
    weights = (2.0, 0.5, 1.0, 0.25)
    alone = [_step(trainers(rows=[row]))[0] for row in ROWS]
    weighed = [row | {"weight": weight} for row, weight in zip(ROWS, weights, strict=True)]
    expected = sum(w * loss for w, loss in zip(weights, alone, strict=True)) / 4
    assert _step(trainers(rows=weighed))[0] == pytest.approx(expected, abs=1e-5)


def test_what_the_base_says_is_kept_by_content_and_used_again(trainers: Make, tmp_path: Path) -> None:
    path = tmp_path / "references" / "base.json"
    first = trainers(references=path).train_dataset["references"]
    kept = json.loads(path.read_text())
    assert sorted(kept.values()) == sorted(first)
    path.write_text(json.dumps({key: [-1.0, -2.0] for key in kept}))
    assert trainers(references=path).train_dataset["references"][:] == [[-1.0, -2.0]] * 4  # nothing is computed again
    path.write_text("no JSON")
    assert trainers(references=path).train_dataset["references"][:] == first[:]
