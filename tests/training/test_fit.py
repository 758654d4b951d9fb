from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from sharpen.errors import TrainerError
from sharpen.training.fit import fit
from sharpen.training.job import Recipe

REFUSING = "{{ raise_exception('System role not supported') if messages[0]['role'] == 'system' }}{{ messages }}"


def recipe(method: Any = "sft", **changed: Any) -> Recipe:
    settings = {"epochs": 1, "rank": 4, "alpha": 8, "learning_rate": 1e-3, "batch": 2, "max_length": 64, "beta": 0.1}
    return Recipe(method=method, seed=0, threads=1, **(settings | changed))


def row(asked: str, chosen: str | None = "a", rejected: str | None = None, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": asked}], "chosen": chosen, "rejected": rejected}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def test_rows_that_would_be_cut_are_left_out_and_counted(tokenizer: Any) -> None:
    rows = [row("short"), row("short", "long " * 60), row("long " * 60), row("short", "a", "long " * 60), row("fine")]
    assert fit(rows, tokenizer, recipe()) == ([rows[0], rows[4]], {"over_length": 3})


def test_a_prompt_needs_room_for_its_answer(tokenizer: Any) -> None:
    rows = [row("short", None) | {"scorer": "exact"}] * 2
    assert fit(rows, tokenizer, recipe("grpo", max_new_tokens=8)) == (rows, {})
    with pytest.raises(TrainerError, match="2 of 2 rows have more than max_length = 64 tokens"):
        fit(rows, tokenizer, recipe("grpo", max_new_tokens=60))


def test_kto_is_refused_where_only_one_class_fits(tokenizer: Any) -> None:
    rows = [row("short"), row("short"), row("short", None, "long " * 60)]
    with pytest.raises(TrainerError, match="what is left is too little"):
        fit(rows, tokenizer, recipe("kto"))


def test_a_template_that_raises_costs_its_rows_or_is_told_in_its_own_words(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", REFUSING)
    rows = [row("be brief", role="system"), row("one"), row("two")]
    assert fit(rows, tokenizer, recipe(max_length=200)) == (rows[1:], {"template": 1})
    with pytest.raises(TrainerError, match="refuses 2 of 2 rows: System role not supported"):
        fit([rows[0]] * 2, tokenizer, recipe(max_length=200))
