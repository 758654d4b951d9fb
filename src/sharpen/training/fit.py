"""What fits the model: rows whose words its chat template takes and whose tokens its length holds.

In: rows, a tokenizer, a recipe. Out: the rows that fit, and how many do not, per reason. Must not know any algorithm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sharpen.errors import TrainerError
from sharpen.training.job import Recipe
from sharpen.training.rows import FEWEST

Row = dict[str, Any]


def fit(rows: Sequence[Row], tokenizer: Any, recipe: Recipe) -> tuple[list[Row], dict[str, int]]:
    """Return the rows that can be trained on whole, and the number of others per reason.

    Reasons: `template` (the chat template raises, as some do for a system message), `over_length` (an answer whose end
    is cut off would teach not to end). A prompt that is to be answered needs room for the answer.
    Raises: TrainerError when too little is left.
    """
    kept, dropped, fault = [], Counter[str](), ""
    for row in rows:
        try:
            length = _length(row, tokenizer, recipe)
        except Exception as error:  # a template is a program of somebody else's: it may raise anything
            dropped["template"] += 1
            fault = fault or str(error)
            continue
        if length > recipe.max_length:
            dropped["over_length"] += 1
        else:
            kept.append(row)
    if len(kept) < FEWEST or (recipe.method == "kto" and not _two_classes(kept)):
        if dropped["template"]:
            raise TrainerError(
                f"The base's chat template refuses {dropped['template']} of {len(rows)} rows: {fault}",
                "take out what the template refuses: often the system message",
            )
        raise TrainerError(
            f"{dropped['over_length']} of {len(rows)} rows have more than max_length = {recipe.max_length} tokens, "
            "and what is left is too little.",
            "raise [training] max_length",
        )
    return kept, dict(dropped)


def _length(row: Row, tokenizer: Any, recipe: Recipe) -> int:
    """Return the tokens of the longest conversation that the row makes."""
    answers = [side for side in (row["chosen"], row["rejected"]) if side is not None]
    if not answers:
        return _count(tokenizer, row["messages"], True) + recipe.max_new_tokens
    said = ([*row["messages"], {"role": "assistant", "content": answer}] for answer in answers)
    return max(_count(tokenizer, conversation, False) for conversation in said)


def _count(tokenizer: Any, messages: Sequence[dict[str, str]], is_open: bool) -> int:
    return len(tokenizer.apply_chat_template(messages, add_generation_prompt=is_open, return_dict=True)["input_ids"])


def _two_classes(rows: Sequence[Row]) -> bool:
    return any(row["chosen"] is not None for row in rows) and any(row["rejected"] is not None for row in rows)
