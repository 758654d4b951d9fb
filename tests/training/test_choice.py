from __future__ import annotations

from typing import Any

import pytest

from sharpen.training.choice import choose_method

TARGET, BAD, PAIR = (
    {"chosen": "a", "rejected": None}, {"chosen": None, "rejected": "b"}, {"chosen": "a", "rejected": "b"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "prompts", "counts", "method", "why"),
    [
        ([TARGET, TARGET, BAD], [], {}, "sft", "2 of 3 rows hold an answer that was said to be right"),
        ([PAIR, PAIR], [], {"correction": 2}, "sft", "2 of 2 rows"),
        ([PAIR, PAIR, TARGET], [], {"comparison": 2}, "rpo", "2 of 3 rows say which of two answers is better"),
        ([PAIR, PAIR], [], {"samples": 2}, "rpo", "2 of 2 rows"),
        ([TARGET, BAD, BAD], [], {}, "kto", "2 of 3 rows only say that an answer is bad"),
        ([PAIR, TARGET, TARGET, BAD], [], {"comparison": 1}, "sft", "2 of 4 rows"),
        ([BAD, BAD], ["p", "q"], {}, "grpo", "a verifier can grade 2 prompts"),
        ([], ["p"], {}, "grpo", "no answer is known to be right"),
        ([BAD], [], {}, "kto", "all 1 rows"),
    ],
)
def test_auto_takes_the_strongest_evidence_there_is_and_says_why(
    rows: list[Any], prompts: list[Any], counts: dict[str, int], method: str, why: str
) -> None:
    choice = choose_method("auto", rows, prompts, counts)
    assert choice.method == method and why in choice.reason


def test_what_is_configured_is_taken_as_it_is() -> None:
    assert choose_method("kto", [TARGET]) == ("kto", "[training] method = 'kto' says so")
