"""The best and the worst of several answers that a verifier scored.

In: all exchanges of one prompt, with their critiques. Out: the best over the worst, or nothing. Must not know people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sharpen.config import CurationSection
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import ACCEPTED, Drop, Find, told_apart


def scored(group: Sequence[Exchange]) -> Iterator[tuple[float, str, str, str]]:
    """Yield each verified attempt of the newest critiques: its score, the answer, and its Trace and Critique."""
    for one in group:
        thought = next((thought for thought in reversed(one.thought) if not thought.failed), None)
        if thought is None:
            continue
        attempts = [(thought.draft, thought.draft_score), *thought.attempts]
        if thought.by_verifier:
            attempts.append((thought.revision, thought.revision_score))
        for text, score in attempts:
            if text and text.strip() and score is not None:
                yield score, text.strip(), one.id, thought.id


def samples(group: Sequence[Exchange], settings: CurationSection) -> list[Find | Drop]:
    """Pair the best accepted answer with the worst refused one, where there are more than a draft and its revision.

    Those two are a pair already. The margin is the distance of their scores.
    """
    if not settings.samples:
        return []
    attempts = list(scored(group))
    if len({text for _, text, _, _ in attempts}) < 3:
        return []
    high, best, *behind_best = max(attempts, key=lambda one: one[0])  # of equal ones the first
    low, worst, *behind_worst = min(attempts, key=lambda one: one[0])
    rejected = told_apart(worst, best)
    if high < ACCEPTED or low >= ACCEPTED or rejected is None:
        return []
    evidence = tuple(dict.fromkeys([*behind_best, *behind_worst]))
    return [Find(best, rejected, "samples", evidence, min(1.0, high - low))]


def pass_rate(group: Sequence[Exchange]) -> float | None:
    """Return the share of verified answers to a prompt that were right, 0-1; None: a verifier saw none.

    A prompt that is answered right sometimes, and wrong sometimes, is where there is most to learn.
    """
    scores = [score for score, _, _, _ in scored(group)]
    return sum(score >= ACCEPTED for score in scores) / len(scores) if scores else None
