"""Findings of several perspectives as matters: which of them mean the same, and which count.

In: issues with who found them. Out: matters with scores and fates. Must not know a model: scores are arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sharpen.fairness.integration import Issue as Vote
from sharpen.fairness.integration import Scored, integrate
from sharpen.memory.words import jaccard, words
from sharpen.records import Issue

SEVERITY = {"low": 0.25, "medium": 0.5, "high": 1.0}
SAME = 0.5  # chosen: Jaccard of two findings' words
_ADD = re.compile(r"\b(?:add|include|mention|missing|lacks?|leaves? out|omits?)\b", re.IGNORECASE)
_REMOVE = re.compile(r"\b(?:remove|delete|drop|cut|leave out|should not say)\b", re.IGNORECASE)


class Found(NamedTuple):
    """One perspective's finding."""

    perspective: str
    issue: Issue


class Matter(NamedTuple):
    """What several findings are about, and what became of it."""

    scored: Scored
    findings: tuple[Found, ...]


def matters(
    found: Sequence[Found],
    weights: Mapping[str, float],
    *,
    reliability: Mapping[str, float] | None = None,
    most: int = 5,
) -> list[Matter]:
    """Cluster findings and put them together, the weightiest matter first.

    Two findings are one matter where they quote the same words of the answer, or share half of their own.
    """
    order = sorted(found, key=lambda one: (one.issue.text, one.perspective))  # who spoke first decides nothing
    groups: list[list[Found]] = []
    for one in order:
        home = next((group for group in groups if any(_same(one.issue, other.issue) for other in group)), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    names = {f"m{number:02d}": group for number, group in enumerate(groups)}
    votes = [
        Vote(one.perspective, name, SEVERITY[one.issue.severity], bool(one.issue.evidence), wish(one.issue.text))
        for name, group in names.items()
        for one in group
    ]
    scored = integrate(votes, weights, reliability=reliability, most=most)
    return [Matter(one, tuple(names[one.matter])) for one in scored]


def wish(text: str) -> Literal["add", "remove", ""]:
    """Return whether a finding wants something in or out of the answer, where it says one of the two.

    >>> wish("It omits the price."), wish("Delete the joke."), wish("Add a joke, drop the price."), wish("Wrong.")
    ('add', 'remove', '', '')
    """
    adds, removes = bool(_ADD.search(text)), bool(_REMOVE.search(text))
    return "" if adds == removes else "add" if adds else "remove"


def _same(one: Issue, other: Issue) -> bool:
    if one.evidence and other.evidence and one.evidence.casefold() == other.evidence.casefold():
        return True
    return jaccard(set(words(one.text)), set(words(other.text))) >= SAME
