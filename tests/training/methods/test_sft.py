from __future__ import annotations

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
    for times, answer in ((1, "delivery"), (3, "sales billing"), (2, "my bill is wrong"))
]


@pytest.fixture
def trainer(tiny_base: Path, tmp_path: Path) -> Any:
    recipe = Recipe(
        method="sft", epochs=1, rank=4, alpha=8, learning_rate=1e-3, batch=3, max_length=64, beta=0.1, seed=0, threads=1
    )
    job = Job(base=tiny_base, base_digest="d", rows=tmp_path / "rows.jsonl", adapters=tmp_path, recipe=recipe)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    return build(job, model, AutoTokenizer.from_pretrained(tiny_base), ROWS, str(tmp_path / "scratch"))


def _loss(trainer: Any, kind: Any, batch: dict[str, Any], items: Any = None) -> tuple[float, list[torch.Tensor]]:
    trainer.model.zero_grad()
    loss = kind.compute_loss(trainer, trainer.model, dict(batch), num_items_in_batch=items)
    loss.backward()
    grads = [weight.grad.clone() for weight in trainer.model.parameters() if weight.grad is not None]
    return loss.item(), grads


@pytest.mark.parametrize("items", [None, torch.tensor(7)])
def test_loss_and_gradients_are_those_of_trl(trainer: Any, items: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = next(iter(trainer.get_train_dataloader()))
    seen = []
    forward = trainer.model.forward
    monkeypatch.setattr(trainer.model, "forward", lambda **more: seen.append(set(more)) or forward(**more))
    ours, our_grads = _loss(trainer, AnswerTrainer, batch, items)
    theirs, their_grads = _loss(trainer, SFTTrainer, batch, items)
    assert ["logits_to_keep" in keys for keys in seen] == [True, False]  # they did not go the same way
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert len(our_grads) == len(their_grads) > 0
    for mine, other in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_rows_that_are_mostly_answer_are_left_to_trl(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = next(iter(trainer.get_train_dataloader()))
    batch["labels"] = torch.where(batch["attention_mask"].bool(), batch["input_ids"], -100)
    seen = []
    forward = trainer.model.forward
    monkeypatch.setattr(trainer.model, "forward", lambda **more: seen.append(set(more)) or forward(**more))
    _loss(trainer, AnswerTrainer, batch)
    assert "logits_to_keep" not in seen[0]
