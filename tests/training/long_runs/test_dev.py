from __future__ import annotations

from datasets import Dataset

from sharpen.training.long_runs.dev import LEAST, hold_out


def _rows(count: int) -> Dataset:
    return Dataset.from_list([{"prompt_ids": [i, i + 1], "chosen_ids": [n]} for i in range(count) for n in range(2)])


def test_a_prompt_is_on_one_side_whatever_else_is_there() -> None:
    kept, held = hold_out(_rows(100), 0.2)
    assert {tuple(one) for one in kept["prompt_ids"]}.isdisjoint(tuple(one) for one in held["prompt_ids"])
    assert len(kept) + len(held) == 200 and 20 <= len(held) <= 60
    _, held_of_more = hold_out(_rows(150), 0.2)
    assert [one for one in held_of_more["prompt_ids"] if one[0] < 100] == held["prompt_ids"][:]


def test_what_is_not_learned_is_the_prompt_of_a_supervised_row() -> None:
    rows = [{"input_ids": [i, 7, n], "labels": [-100, -100, n]} for i in range(40) for n in (1, 2)]
    kept, held = hold_out(Dataset.from_list(rows), 0.3)
    assert {one[0] for one in kept["input_ids"]}.isdisjoint(one[0] for one in held["input_ids"])


def test_too_few_rows_are_all_learned_from() -> None:
    data = _rows(3)
    kept, held = hold_out(data, 0.3)
    assert held is None and len(kept) == 6 and LEAST == 4
