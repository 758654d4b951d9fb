from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.methods.conftest import PROMPTS, ROWS, job_of, recipe_of
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from sharpen.errors import TrainerError
from sharpen.training.methods import rpo
from sharpen.verify.scorers import scorer


@scorer
def toy_flat(reply: str, reference: str) -> float:
    """Find every answer equally good."""
    return 1.0


@pytest.fixture
def parts(toy_base: Path) -> tuple[Any, Any]:
    set_seed(0)
    return AutoModelForCausalLM.from_pretrained(toy_base, dtype=torch.float32), AutoTokenizer.from_pretrained(toy_base)


def test_its_loss_is_dpos_plus_the_weighted_likelihood_of_the_chosen(
    parts: Any, toy_base: Path, tmp_path: Path
) -> None:
    job = job_of(toy_base, tmp_path, recipe_of("rpo", nll=0.25), ROWS)
    trainer = rpo.build(job, *parts, ROWS, str(tmp_path / "scratch"))
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, dict(batch)).item()
    total, tokens = 0.0, 0
    for row in ROWS:
        answered = [*row["messages"], {"role": "assistant", "content": row["chosen"]}]
        asked = parts[1].apply_chat_template(row["messages"], add_generation_prompt=True, return_dict=True)["input_ids"]
        ids = torch.tensor([parts[1].apply_chat_template(answered, return_dict=True)["input_ids"]])
        count = ids.shape[1] - len(asked)
        logits = trainer.model(ids).logits[0, -count - 1 : -1]
        total += torch.nn.functional.cross_entropy(logits, ids[0, -count:], reduction="sum").item()
        tokens += count
    assert loss == pytest.approx(math.log(2) + 0.25 * total / tokens, abs=1e-4)  # the adapter has changed nothing yet


def test_the_best_sampled_answer_is_set_against_the_worst(parts: Any, toy_base: Path, tmp_path: Path) -> None:
    job = job_of(toy_base, tmp_path, recipe_of("rpo", samples=8), PROMPTS)
    pairs = rpo.best_and_worst(job, *parts, PROMPTS)
    assert 0 < len(pairs) <= len(PROMPTS)
    for pair in pairs:
        good, bad = (sum(map(str.isascii, pair[side])) / len(pair[side]) for side in ("chosen", "rejected"))
        assert good >= bad + rpo.GAP
        assert pair["messages"] in [row["messages"] for row in PROMPTS]


def test_prompts_whose_answers_are_all_as_good_give_no_pairs(parts: Any, toy_base: Path, tmp_path: Path) -> None:
    rows = [row | {"scorer": "toy_flat"} for row in PROMPTS]
    job = job_of(toy_base, tmp_path, recipe_of("rpo"), rows)
    with pytest.raises(TrainerError, match="no pairs to learn from"):
        rpo.build(job, *parts, rows, str(tmp_path / "scratch"))
