"""How much one person, the past and the machine may weigh in what is learned.

In: candidates, strongest first. Out: those that go beyond a share. Must not know what they teach.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from sharpen.curation.candidate import Candidate, place_in_training
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan

HUMAN = frozenset({"correction", "comparison", "rating"})


def source_cap(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Let one source have at most `source_cap` examples, its strongest and earliest; what has no source has no cap.

    An absolute number: a few hundred poisoned examples are enough, whatever the size of the rest.
    Source: Souly et al. 2025, Poisoning Attacks on LLMs Require a Near-constant Number of Poison Samples.
    """
    limit, seen, reasons = plan.settings.source_cap, Counter[str](), list[str | None]()
    if not limit:
        return [None] * len(batch)
    for one in batch:
        if one.source is not None:
            seen[one.source] += 1
        is_over = one.source is not None and seen[one.source] > limit
        reasons.append(f"more than {limit} from {one.source}" if is_over else None)
    return reasons


def replay(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Learn only a share `replay` of earlier versions' exchanges again, drawn by content; people's words always."""
    newest = plan.versions[-1] if plan.versions else None
    share = plan.settings.replay
    if share >= 1 or newest is None:
        return [None] * len(batch)
    return [
        "not drawn for replay"
        if one.version != newest
        and one.origin not in HUMAN
        and int(place_in_training(one, plan.seed)[:8], 16) / 0x1_0000_0000 >= share
        else None
        for one in batch
    ]


def human_floor(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop the machine's own answers, the weakest first, until people's words have the share `human_floor` of weight.

    Without any of people's words nothing is dropped: nothing would be left.
    Source: Gerstgrasser et al. 2024, Is Model Collapse Inevitable?, arXiv:2404.01413 (real data kept beside synthetic).
    """
    floor = plan.settings.human_floor
    reasons: Reasons = [None] * len(batch)
    human = math.fsum(one.weight for one in batch if one.origin in HUMAN) if floor else 0.0
    if not human:
        return reasons
    room = human / floor - human
    for i, one in enumerate(batch):
        if one.origin not in HUMAN:
            room -= one.weight
            if room < -1e-9:
                reasons[i] = f"more than {1 - floor:.0%} would be the machine's own"
    return reasons
