"""What people wrote instead of a reply.

In: one exchange's corrections. Out: the answer that most sources gave, over the reply. Must not know other evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sharpen.curation.mining.evidence import Exchange, Said
from sharpen.curation.mining.find import Drop, Find, told_apart


def corrected(one: Exchange, corrections: Sequence[Said]) -> Find | Drop:
    """Let each source's newest correction vote; anonymous corrections are one source.

    The margin is the winner's lead as a share of all votes: 1 where everyone said the same.
    """
    newest = {said.source: said for said in corrections if (said.correction or "").strip()}
    votes: defaultdict[str, list[str]] = defaultdict(list)
    for said in newest.values():
        votes[(said.correction or "").strip()].append(said.id)
    if not votes:
        return Drop(one.id, "empty")
    ranked = sorted(votes, key=lambda text: -len(votes[text]))
    chosen = ranked[0]
    lead = len(votes[chosen]) - (len(votes[ranked[1]]) if len(ranked) > 1 else 0)
    if lead == 0:
        return Drop(one.id, "contradicting")
    margin = lead / sum(map(len, votes.values()))
    return Find(chosen, told_apart(one.reply, chosen), "correction", (one.id, *votes[chosen]), margin, chosen)
