"""Constitutional principles as constraints on data: an answer that breaks one never wins.

In: which principles each answer breaks, by name. Out: which pairs to flip or drop, and their margins. Must not know who
judged the answers, or the constitution's text.

Source: SafeDPO, Kim et al. 2025 (arXiv:2505.20065): pairs are re-ordered by a binary harm label, pairs with two harmful
answers are dropped, and the loss gets a margin where only the rejected answer is harmful.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

ALL = "*"
Fate = Literal["keep", "flip", "drop"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a pair, and h_l - h_w: 1 where, in the end, only the rejected answer breaks a principle."""

    fate: Fate
    harm: int


def breaks(found: Collection[str], principles: Collection[str]) -> bool:
    """Say whether an answer breaks one of the principles; `*` stands for all of them."""
    return bool(found) if ALL in principles else bool(set(found) & set(principles))


def rule(chosen: Sequence[str], rejected: Sequence[str], principles: Collection[str]) -> Ruling:
    """Decide on a pair, given the principles that its chosen and its rejected answer break."""
    h_w, h_l = breaks(chosen, principles), breaks(rejected, principles)
    if h_w and h_l:
        return Ruling("drop", 0)
    return Ruling("flip" if h_w else "keep", int(h_w or h_l))
