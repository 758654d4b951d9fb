"""What one part of the evidence gives: the pure half of curation, the same on every engine.

In: exchanges of whole prompts, and a plan. Out: candidates that no local filter dropped, and what was dropped, with
reasons. Must not know other parts, files or engines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sharpen.curation.candidate import Candidate
from sharpen.curation.filters import LOCAL
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.mine import Mined, mine
from sharpen.curation.plan import Plan

_PER_TRACE = 64  # finds that begin with one trace; more are numbered on, and only share a place


class Dropped(NamedTuple):
    """One thing that is not learned: the Trace, by what, and why."""

    id: str
    filter: str
    reason: str


class Sifted(NamedTuple):
    """What a part gave."""

    kept: list[Candidate]
    dropped: list[Dropped]


def sift(groups: Iterable[Sequence[Exchange]], plan: Plan) -> Sifted:
    """Mine a part and put it through the local filters, each of which sees what the ones before left."""
    mined, lost = mine(groups, plan.settings)
    dropped = [Dropped(one.id, one.reason, "") for one in lost]
    kept = candidates(mined, plan)
    for name, judge in LOCAL.items():
        reasons = judge(kept, plan)
        judged = list(zip(kept, reasons, strict=True))
        dropped += [Dropped(one.evidence[0], name, why) for one, why in judged if why is not None]
        kept = [one for one, why in judged if why is None]
    return Sifted(kept, dropped)


def candidates(mined: Sequence[Mined], plan: Plan) -> list[Candidate]:
    """Return the finds as candidates, each in its place."""
    begun: Counter[int] = Counter()
    found = []
    for one in mined:
        is_hard = one.pass_rate is not None and 0 < one.pass_rate < 1
        found.append(
            Candidate(
                place=one.seq * _PER_TRACE + min(begun[one.seq], _PER_TRACE - 1),
                prompt=one.prompt,
                chosen=one.find.chosen,
                rejected=one.find.rejected,
                origin=one.find.origin,
                evidence=one.find.evidence,
                margin=one.find.margin,
                reference=one.find.reference,
                weight=float(plan.settings.hard_weight) if is_hard else 1.0,
                source=one.source,
                version=one.version,
                pass_rate=one.pass_rate,
            )
        )
        begun[one.seq] += 1
    return found
