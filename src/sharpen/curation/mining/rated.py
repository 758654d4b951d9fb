"""Answers that people disliked, alone: a method that learns from single answers (KTO) can unlearn them.

In: all exchanges of one prompt. Out: one find per disliked reply. Must not know what becomes of good answers.

A liked reply is an answer to learn for every method: `own_answers` finds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import Drop, Find, is_verified, ratings, worth


def disliked(group: Sequence[Exchange], settings: CurationSection) -> list[Find | Drop]:
    """Return replies whose mean rating is bad and that no verifier accepted; the margin is how bad.

    A reply that somebody corrected is part of a pair already.
    """
    found: list[Find | Drop] = []
    for one in group if settings.ratings else ():
        mark = worth(one)
        is_corrected = settings.corrections and any(said.correction is not None for said in one.said)
        is_bad = mark is not None and mark < 0 and is_verified(one) is not True
        if is_bad and not is_corrected and not one.failed and one.reply and one.reply.strip():
            found.append(Find(None, one.reply.strip(), "rating", (one.id, *ratings(one.said)), -(mark or 0.0)))
    return found
