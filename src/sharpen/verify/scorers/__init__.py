"""How a reply is graded: plain functions from (reply, reference) to 0-1, found by name.

A scorer is `(reply, reference) -> float | None`; it may also take `choices` (where the task has a fixed set of answers)
and `messages` (the prompt). None, or `Unscored(reason)` raised, means that this reply cannot be judged.
"""

from __future__ import annotations

from sharpen.verify.scorers.numeric import last_number, numeric, quantity
from sharpen.verify.scorers.patterns import json_schema, pattern
from sharpen.verify.scorers.programs import passes_tests
from sharpen.verify.scorers.registry import CHOICE, Scorer, Unscored, checked, find_scorer, grade, scorer
from sharpen.verify.scorers.text import contains_one, exact, word_f1

BUILT_IN = frozenset({"exact", "contains_one", "numeric", "quantity"})  # those that accept the reference as a reply

__all__ = [
    "BUILT_IN", "CHOICE", "Scorer", "Unscored", "checked", "contains_one", "exact", "find_scorer", "grade",
    "json_schema", "last_number", "numeric", "passes_tests", "pattern", "quantity", "scorer",
    "word_f1",
]  # fmt: skip
