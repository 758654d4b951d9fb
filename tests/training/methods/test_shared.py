from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.training.job import Job, Recipe
from sharpen.training.methods.sft import build

ROWS = [{"messages": [{"role": "user", "content": "bill " * times}], "chosen": "billing"} for times in range(1, 9)]


@pytest.mark.parametrize("in_order", [True, False])
def test_a_curriculum_keeps_its_order_and_nothing_else_does(in_order: bool, tiny_base: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        method="sft", epochs=1, rank=2, alpha=4, learning_rate=1e-3, batch=1, max_length=64, beta=0.1, seed=0,
        threads=1, in_order=in_order,
    )  # fmt: skip
    job = Job(base=tiny_base, base_digest="d", rows=tmp_path / "rows.jsonl", adapters=tmp_path, recipe=recipe)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    trainer = build(job, model, AutoTokenizer.from_pretrained(tiny_base), ROWS, str(tmp_path / "scratch"))
    lengths = [int(batch["attention_mask"].sum()) for batch in trainer.get_train_dataloader()]
    assert sorted(lengths) == sorted(set(lengths)), "each row has a length of its own"
    assert (lengths == sorted(lengths)) is in_order
