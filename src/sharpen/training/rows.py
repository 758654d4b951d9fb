"""What a method can learn from a snapshot's rows, and what it cannot: looked at before anything is started.

In: rows of (messages, chosen, rejected, weight), prompts to be graded, a method. Out: the rows that it uses, and how
many were left out, per reason; or a refusal. Must not know models: what has to be tokenized is `fit`'s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sharpen.errors import TrainerError
from sharpen.records import Method

Row = dict[str, Any]
ON_POLICY: frozenset[Method] = frozenset({"ppo", "grpo", "rloo"})
FEWEST = 2  # one example has no neighbour to be told from: every method would only learn to say that one answer


def usable(rows: Sequence[Row], prompts: Sequence[Row], method: Method) -> tuple[list[Row], dict[str, int]]:
    """Return the rows that `method` learns from, in their order, and the number of others per reason.

    Reasons: `same` (chosen and rejected are one text: evidence against itself), `empty` (nothing but white space),
    `no_target` (nothing to imitate), `no_pair` (only one side), `no_verifier` (nothing grades an answer).
    Raises: TrainerError naming the first malformed row; or when too little is left, or only one class for KTO.
    """
    if not rows and not prompts:
        raise TrainerError("There is nothing to train on: the snapshot has no rows.", "sharpen curate")
    for number, row in enumerate(rows, 1):
        _check(number, row)
    dropped: Counter[str] = Counter()
    kept = []
    for row in [] if method in ON_POLICY else rows:
        reason = _unusable(row, method)
        dropped.update([reason] if reason else [])
        kept += [] if reason else [row]
    if method in ON_POLICY and rows and not prompts:
        dropped["no_verifier"] = len(rows)
    asked = list(prompts) if method in ON_POLICY or method == "rpo" else []
    _enough(kept, asked, method, dropped)
    return kept + asked, dict(dropped)


def _check(number: int, row: Row) -> None:
    turns = row.get("messages")
    asked = isinstance(turns, list) and all(isinstance(turn, dict) and {"role", "content"} <= {*turn} for turn in turns)
    sides = [row.get("chosen"), row.get("rejected")]
    answered = all(isinstance(side, str | None) for side in sides) and sides != [None, None]
    if not (turns and asked and answered):
        raise TrainerError(f"Row {number} of the snapshot is not (messages, chosen, rejected).", "sharpen curate")
    weight = row.get("weight", 1.0)
    if not isinstance(weight, int | float) or not math.isfinite(weight) or weight <= 0:
        raise TrainerError(f"Row {number} of the snapshot weighs {weight}: not a number above 0.", "sharpen curate")


def _unusable(row: Row, method: Method) -> str | None:
    chosen, rejected = row["chosen"], row["rejected"]
    if chosen is not None and rejected is not None and chosen.strip() == rejected.strip():
        return "same"
    if chosen is not None and not chosen.strip():
        return "empty"
    # A model that said nothing made a mistake to learn from, but no tokens to take it from.
    if rejected is not None and not rejected.strip() and method != "sft":
        return "empty"
    if method == "sft" and chosen is None:
        return "no_target"
    if method in ("dpo", "rpo") and (chosen is None or rejected is None):
        return "no_pair"
    return None


def _enough(kept: Sequence[Row], asked: Sequence[Row], method: Method, dropped: Counter[str]) -> None:
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    told = f" ({left_out})" if left_out else ""
    if method == "kto":
        good = sum(row["chosen"] is not None for row in kept)
        bad = sum(row["rejected"] is not None for row in kept)
        if not good or not bad:
            only = "liked" if good else "disliked"
            raise TrainerError(
                f"method = 'kto' needs liked and disliked answers, and the snapshot has only {only} ones{told}.",
                'method = "sft"' if good else "wait for answers that somebody liked or corrected",
            )
        return
    if len(kept) + len(asked) >= FEWEST:
        return
    needs = {
        "sft": "answers to imitate", "dpo": "rejected answers", "rpo": "rejected answers, or prompts with a verifier",
    }.get(method, "prompts that a scorer can grade: a suite with a train tier, or corrections")  # fmt: skip
    raise TrainerError(
        f"method = '{method}' needs {needs}, at least {FEWEST}, and there are {len(kept) + len(asked)}{told}.",
        'method = "auto"',
    )
