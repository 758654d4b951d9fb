from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer

from sharpen.training.job import Job, Recipe
from sharpen.training.methods.sft import AnswerTrainer, build

ROWS = [
    {"messages": [{"role": "user", "content": "where is my parcel " * times}], "chosen": answer}
    for times, answer in (
        (1, "delivery"), (3, "sales billing"), (2, "my bill is wrong"), (1, "a long answer " * 8), (6, "x")
    )
]  # fmt: skip


@pytest.fixture
def trainers(tiny_base: Path, tmp_path: Path) -> Callable[..., Any]:
    def make(kind: Any = AnswerTrainer, rows: Any = ROWS, portion: int = 0, **settings: Any) -> Any:
        recipe = Recipe(
            method="sft", epochs=1, rank=4, alpha=8, learning_rate=1e-3, batch=5, max_length=128, beta=0.1, seed=0,
            threads=1, **settings,
        )  # fmt: skip
        folders = {"base": tiny_base, "rows": tmp_path / "rows.jsonl", "adapters": tmp_path}
        job = Job(base_digest="d", recipe=recipe, portion=portion, **folders)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(tiny_base)
        return build(job, model, tokenizer, rows, str(tmp_path / "scratch"), kind=kind)

    return make


def _step(trainer: Any) -> tuple[float, list[torch.Tensor]]:
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(trainer.model, batch)
    return loss.item(), [weight.grad.clone() for weight in trainer.model.parameters() if weight.grad is not None]


@pytest.mark.parametrize(
    ("settings", "passes"),
    [({"packing": False}, 1), ({"packing": False, "portion": 2}, 3), ({"packing": True}, 1)],
    ids=["whole", "in portions", "packed"],
)
def test_loss_and_gradients_are_those_of_trl(trainers: Any, settings: dict[str, Any], passes: int) -> None:
    trainer, peer = trainers(**settings), trainers(SFTTrainer)
    heads = []
    trainer.model.get_base_model().lm_head.register_forward_hook(lambda _, given, __: heads.append(given[0].shape))
    ours, our_grads = _step(trainer)
    theirs, their_grads = _step(peer)
    assert len(heads) == passes and trainer.packing == settings["packing"]
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert len(our_grads) == len(their_grads) > 0
    for mine, other in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_packed_rows_need_less_padding(trainers: Any) -> None:
    trainer = trainers(packing=True)
    batch = next(iter(trainer.get_train_dataloader()))
    portions = list(trainer.cut(batch))
    positions = sum(one["input_ids"].numel() for one in portions)
    assert positions == batch["attention_mask"].sum() < batch["attention_mask"].numel()


def test_a_row_counts_as_much_as_its_weight(trainers: Any) -> None:
    weights = (0.5, 2.0, 1.0, 1.0, 0.5)
    weighed = [row | {"weight": weight} for row, weight in zip(ROWS, weights, strict=True)]
    lengths = [len(trainers(rows=[row]).train_dataset[0]["labels"]) for row in ROWS]
    assert len(set(lengths)) == len(lengths)
    alone = [_step(trainers(rows=[row]))[0] for row in ROWS]
    tokens = [sum(label != -100 for label in trainers(rows=[row]).train_dataset[0]["labels"]) for row in ROWS]
    expected = sum(w * loss * n for w, loss, n in zip(weights, alone, tokens, strict=True)) / sum(tokens)
    for packing in (True, False):
        assert _step(trainers(rows=weighed, packing=packing))[0] == pytest.approx(expected, abs=1e-5)


def test_what_is_only_looked_at_has_the_same_loss(trainers: Any) -> None:
    trainer = trainers()
    loss, _ = _step(trainer)
    assert trainer.evaluate(trainer.train_dataset)["eval_loss"] == pytest.approx(loss, abs=1e-5)
