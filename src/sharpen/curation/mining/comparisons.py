"""Pairs that people made: this reply is better than that one.

In: all exchanges of one prompt. Out: one find per two replies that were compared. Must not know ratings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import Drop, Find, told_apart


def comparisons(group: Sequence[Exchange], settings: CurationSection) -> list[Find | Drop]:
    """Let each source's newest word on two replies count; anonymous ones count each.

    The margin is the winner's lead as a share of all that was said of the two. Replies that raters dislike on the whole
    are no answer to learn, even where another one is worse.
    """
    if not settings.comparisons:
        return []
    by_id = {one.id: one for one in group}
    newest: dict[tuple[frozenset[str], str], tuple[str, str, str]] = {}
    found: list[Find | Drop] = []
    told = sorted((said.seq, said, better) for better in group for said in better.said if said.better_than is not None)
    for _, said, better in told:
        worse = by_id.get(said.better_than or "")
        if worse is None or worse.id == better.id:
            found.append(Drop(better.id, "other_prompt"))  # answers to different questions cannot be compared
        else:
            newest[frozenset((better.id, worse.id)), said.source or said.id] = (better.id, worse.id, said.id)
    votes: defaultdict[frozenset[str], defaultdict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for (pair, _), (better_id, worse_id, said_id) in newest.items():
        votes[pair][better_id, worse_id].append(said_id)
    for sides in votes.values():
        (winner, ids), *rest = sorted(sides.items(), key=lambda side: -len(side[1]))
        against = sum(len(others) for _, others in rest)
        better, worse = by_id[winner[0]], by_id[winner[1]]
        if len(ids) == against:
            found.append(Drop(better.id, "contradicting"))
            continue
        chosen = (better.reply or "").strip()
        rejected = told_apart(worse.reply, chosen)
        if better.failed or not chosen or rejected is None:
            found.append(Drop(better.id, "empty"))
        else:
            margin = (len(ids) - against) / (len(ids) + against)
            found.append(Find(chosen, rejected, "comparison", (better.id, worse.id, *ids), margin))
    return found
