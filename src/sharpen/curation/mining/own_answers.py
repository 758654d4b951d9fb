"""The model's own answers that a verifier accepted, or a person liked and no verifier refused.

In: one exchange with its ratings and critiques. Out: a draft, a revision over its draft, or a liked reply. Must not
know corrections.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.curation.mining.evidence import Exchange, Said, Thought
from sharpen.curation.mining.find import ACCEPTED, LIKED, Drop, Find, told_apart
from sharpen.records import Origin


def own_answer(one: Exchange) -> Find | Drop:
    """Take the draft, or its revision, as the newest critique that did not fail scored them; or a reply that was liked.

    Where a verifier and a rating disagree, the verifier wins.
    """
    thought = next((thought for thought in reversed(one.thought) if not thought.failed), None)
    liked = _liked(one.said)
    if thought is not None and thought.draft_score is not None and thought.draft_score >= ACCEPTED:
        return _answer(one, thought.draft, "verified", (thought.id,), thought.draft_score)
    if thought is not None and (thought.draft_score is not None or not liked):
        if (revised := thought.revision_score or 0.0) >= ACCEPTED:
            return _revised(one, thought, revised - (thought.draft_score or 0.0))
        return Drop(one.id, "contradicting" if liked else "no_answer")
    if liked:
        mean = sum(said.rating or 0.0 for said in liked) / len(liked)
        return _answer(one, one.reply, "verified", tuple(said.id for said in liked), mean)
    return Drop(one.id, "no_answer")


def _liked(said: Sequence[Said]) -> list[Said]:
    """Return the good ratings, or nothing where anyone corrected or disliked the reply."""
    if any(one.correction is not None or (one.rating or 0.0) < 0 for one in said):
        return []
    return [one for one in said if (one.rating or 0.0) >= LIKED]


def _answer(one: Exchange, chosen: str | None, origin: Origin, ids: tuple[str, ...], margin: float) -> Find | Drop:
    text = (chosen or "").strip()
    return Find(text, None, origin, (one.id, *ids), min(1.0, margin)) if text else Drop(one.id, "empty")


def _revised(one: Exchange, thought: Thought, gain: float) -> Find | Drop:
    found = _answer(one, thought.revision, "revision", (thought.id,), gain)
    if isinstance(found, Drop):
        return found
    return found._replace(rejected=told_apart(thought.draft, found.chosen or ""))
