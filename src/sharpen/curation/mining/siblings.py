"""Two answers to one prompt, of which people liked one and disliked the other.

In: all exchanges of one prompt. Out: the best over the worst, or nothing. Must not know who compared answers by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import LIKED, Drop, Find, is_verified, ratings, told_apart, worth


def siblings(group: Sequence[Exchange], settings: CurationSection) -> list[Find | Drop]:
    """Pair the best-rated answer with the worst-rated one: one liked, one disliked, no verifier of another mind.

    The margin is half the distance of their mean ratings.
    """
    if not settings.siblings or len(group) < 2:
        return []
    rated = [(mark, one) for one in group if not one.failed and (mark := worth(one)) is not None]
    good = [(mark, one) for mark, one in rated if mark >= LIKED and is_verified(one) is not False and _untouched(one)]
    bad = [(mark, one) for mark, one in rated if mark < 0 and is_verified(one) is not True]
    if not good or not bad:
        return []
    high, best = max(good, key=lambda pair: (pair[0], -pair[1].seq))
    low, worst = min(bad, key=lambda pair: (pair[0], pair[1].seq))
    chosen = (best.reply or "").strip()
    rejected = told_apart(worst.reply, chosen)
    if not chosen or rejected is None:
        return []
    evidence = (best.id, *ratings(best.said), worst.id, *ratings(worst.said))
    return [Find(chosen, rejected, "rating", evidence, (high - low) / 2)]


def _untouched(one: Exchange) -> bool:
    """Tell whether nobody corrected the reply: what was corrected is not what to learn."""
    return all(said.correction is None for said in one.said)
