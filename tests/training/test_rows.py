from __future__ import annotations

import math
from typing import Any

import pytest

from sharpen.errors import TrainerError
from sharpen.training.rows import usable

ASKED = [{"role": "user", "content": "q"}]


def row(chosen: str | None, rejected: str | None, weight: float = 1.0) -> dict[str, Any]:
    return {"messages": ASKED, "chosen": chosen, "rejected": rejected, "weight": weight}


PROMPT = row(None, None) | {"reference": "a", "choices": [], "scorer": "exact"}
GOOD, BAD, PAIR = row("a", None), row(None, "b"), row("a", "b")
SAME, EMPTY, UNSAID = row("a", " a\n"), row(" ", "b"), row("a", " ")


@pytest.mark.parametrize(
    ("method", "kept", "dropped"),
    [
        ("sft", [GOOD, PAIR, UNSAID], {"no_target": 1, "same": 1, "empty": 1}),
        ("dpo", [PAIR, PAIR], {"no_pair": 2, "same": 1, "empty": 2}),
        ("rpo", [PAIR, PAIR], {"no_pair": 2, "same": 1, "empty": 2}),
        ("kto", [GOOD, BAD, PAIR], {"same": 1, "empty": 2}),
    ],
)
def test_a_method_gets_what_it_can_learn_from_and_the_rest_is_counted(
    method: Any, kept: list[Any], dropped: dict[str, int]
) -> None:
    rows = [GOOD, BAD, PAIR, SAME, EMPTY, UNSAID] + ([PAIR] if method in ("dpo", "rpo") else [])
    assert usable(rows, [PROMPT] if method == "sft" else [], method) == (kept, dropped)


@pytest.mark.parametrize("method", ["ppo", "grpo", "rloo"])
def test_what_is_learned_on_policy_is_the_prompts_alone(method: Any) -> None:
    assert usable([GOOD], [PROMPT, PROMPT], method) == ([PROMPT, PROMPT], {})
    with pytest.raises(TrainerError, match=r"a scorer can grade.*there are 0 \(1 no_verifier\)"):
        usable([GOOD], [], method)


def test_rpo_takes_pairs_and_prompts() -> None:
    assert usable([PAIR], [PROMPT], "rpo") == ([PAIR, PROMPT], {})


@pytest.mark.parametrize(("rows", "only"), [([GOOD, GOOD], "liked"), ([BAD, BAD, SAME], "disliked")])
def test_kto_with_one_class_is_refused(rows: list[Any], only: str) -> None:
    with pytest.raises(TrainerError, match=f"only {only} ones"):
        usable(rows, [], "kto")


@pytest.mark.parametrize("method", ["sft", "dpo", "rpo"])
def test_a_single_example_is_refused_with_what_was_left_out(method: Any) -> None:
    with pytest.raises(TrainerError, match=r"at least 2, and there are 1 \(1 empty, 1 same\)"):
        usable([PAIR, SAME, EMPTY], [], method)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 0.0, -1.0, "much", None])
def test_a_weight_that_is_no_number_above_zero_is_refused_by_its_row(weight: Any) -> None:
    with pytest.raises(TrainerError, match="Row 2 of the snapshot weighs"):
        usable([GOOD, row("a", None, weight)], [], "sft")


def test_a_row_that_teaches_nothing_is_malformed() -> None:
    with pytest.raises(TrainerError, match="Row 1"):
        usable([row(None, None)], [], "kto")
