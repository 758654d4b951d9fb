"""One thing that the evidence of a prompt teaches, and how strongly.

In: answers and the ids of what speaks for them. Out: `Find`. Must not know how evidence is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import Exchange, Said
from sharpen.records import Origin

ACCEPTED = 1.0  # a verifier's score of a right answer
LIKED = 0.5  # chosen: a rating clearly on the good side of -1 to 1

# Which evidence wins where several say what to learn of one prompt: what a person wrote, what people preferred, what a
# verifier told apart, what it accepted.
STRENGTH: dict[Origin, int] = {
    "correction": 0, "comparison": 1, "rating": 2, "samples": 3, "verified": 4, "revision": 5,
}  # fmt: skip


class Find(NamedTuple):
    """What one prompt teaches; `margin` is how clearly the evidence says so, 0-1."""

    chosen: str | None
    rejected: str | None
    origin: Origin
    evidence: tuple[str, ...]
    margin: float | None = None
    reference: str | None = None


class Drop(NamedTuple):
    """What taught nothing, and why."""

    id: str
    reason: str


Miner = Callable[[Sequence[Exchange], CurationSection], "list[Find | Drop]"]


def told_apart(reply: str | None, chosen: str) -> str | None:
    """Return the reply where it can be told from the answer to learn."""
    return reply if reply and reply.strip() and reply.strip() != chosen else None


def worth(one: Exchange) -> float | None:
    """Return what raters think of a reply, -1 to 1: the mean of each source's newest rating; None: nobody rated it.

    Anonymous ratings are one source each: nothing tells them apart.
    """
    newest: dict[str, float] = {}
    for said in one.said:
        if said.rating is not None:
            newest[said.source or said.id] = said.rating
    return sum(newest.values()) / len(newest) if newest else None


def is_verified(one: Exchange) -> bool | None:
    """Return what the newest critique's verifier says of the served reply; None: nobody could tell."""
    for thought in reversed(one.thought):
        if not thought.failed and thought.draft_score is not None:
            return thought.draft_score >= ACCEPTED
    return None


def ratings(said: Sequence[Said]) -> tuple[str, ...]:
    """Return the ids of what holds a rating."""
    return tuple(one.id for one in said if one.rating is not None)
