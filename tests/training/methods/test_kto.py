from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.methods.conftest import job_of, recipe_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.fairness.balance import desirability
from sharpen.training.methods.kto import Rated, block_size, build, interleave

TEAMS = ("billing", "delivery", "sales")


def rated(count: int, liked: int) -> list[Rated]:
    return [Rated([{"role": "user", "content": f"q{i}"}], TEAMS[i % 3], i < liked) for i in range(count)]


@pytest.mark.parametrize(("good", "bad"), [(1, 1), (30, 10), (3, 40), (7, 9)])
def test_the_rarer_class_weighs_as_much_as_the_other(good: int, bad: int) -> None:
    desirable, undesirable = desirability(good, bad)
    assert desirable * good == pytest.approx(undesirable * bad)  # the ratio of equation 8 is within [1, 4/3]
    assert min(desirable, undesirable) == 1


@pytest.mark.parametrize("count", range(2, 40))
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_no_row_is_left_alone_in_a_block(count: int, batch: int) -> None:
    size = block_size(count, batch)
    assert size >= max(2, batch) and (count % size != 1)


@pytest.mark.parametrize(("count", "liked"), [(24, 12), (25, 5), (48, 40)])
def test_every_block_has_its_share_of_both_and_no_neighbours_that_say_the_same(count: int, liked: int) -> None:
    given = rated(count, liked)
    size = block_size(count, 8)
    found = interleave(given, size)
    assert sorted(found, key=str) == sorted(given, key=str)
    for first in range(0, count, size):
        block = found[first : first + size]
        assert abs(sum(one.liked for one in block) - len(block) * liked / count) <= 1
        assert all(block[i - 1].answer != one.answer for i, one in enumerate(block))


def test_a_pair_is_never_its_own_mismatch() -> None:
    given = [
        Rated([{"role": "user", "content": f"q{i // 2}"}], f"a{i}", i % 2 == 0) for i in range(16)
    ]  # answers to one prompt come next to each other
    found = interleave(given, 8)
    for first in (0, 8):
        block = found[first : first + 8]
        assert all(block[i - 1].messages != one.messages for i, one in enumerate(block))


def test_what_trl_sets_against_each_answer_is_another_prompts_answer(toy_base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": f"q{i}"}], "chosen": TEAMS[i % 3], "rejected": f"no{i}"}
        for i in range(9)
    ] + [{"messages": [{"role": "user", "content": "q9"}], "chosen": None, "rejected": "no9"}]
    job = job_of(toy_base, tmp_path, recipe_of("kto", batch=6), rows)
    model = AutoModelForCausalLM.from_pretrained(toy_base, dtype=torch.float32)
    trainer = build(job, model, AutoTokenizer.from_pretrained(toy_base), rows, str(tmp_path / "scratch"))
    data = trainer.train_dataset
    assert len(data) == 19 and trainer.args.per_device_train_batch_size == 7  # 19 rows in sixes would leave one alone
    assert all(row["KL_completion_ids"] != row["completion_ids"] for row in data)
    assert (trainer.desirable_weight, trainer.undesirable_weight) == (pytest.approx(10 / 9), 1.0)
    blocks = [next(iter(trainer.get_train_dataloader()))]
    assert blocks[0]["label"].tolist() == data["label"][:7]  # the order is kept: nothing shuffles the blocks
