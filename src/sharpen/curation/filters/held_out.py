"""What the gate will ask is not learned.

In: candidates, and the held-out cases. Out: those that are like a case, or share a run of words with one. Must not know
who measures.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.curation.candidate import Candidate, asked, conversation
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan
from sharpen.memory.words import words


def held_out(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop prompts whose question is like that of a dev, gate or vault case by `overlap` or more (Jaccard, words)."""
    index, threshold = plan.index, plan.settings.overlap
    found = [index.is_like(words(asked(one.prompt)), threshold) for one in batch]
    return ["its question is like a held-out one" if is_like else None for is_like in found]


def contamination(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what shares a run of 13 words with a held-out case, in the conversation or in either answer.

    Source: Brown et al. 2020, Language Models are Few-Shot Learners, arXiv:2005.14165, appendix C.
    """
    if not plan.held_out or not plan.settings.contamination:
        return [None] * len(batch)
    found = [plan.index.shares_run(words(f"{conversation(one.prompt)}\n{one.answers}")) for one in batch]
    return [None if run is None else f"shares '{run[:80]}'" for run in found]
