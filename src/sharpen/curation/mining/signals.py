"""What users did without saying anything, as the weak words it amounts to.

In: what was done, and the reply. Out: a rating, a correction, or nothing. Must not know other evidence.
"""

from __future__ import annotations

from sharpen.plugins import part

# What people do weighs less than what they say: alone, none of these makes an answer liked (`find.LIKED`) but a text
# that was sent on as it is. The values are chosen. That an edit is feedback: Gao et al. 2024 (PRELUDE).
REGENERATED, COPIED, SENT_AS_IT_IS = -0.25, 0.25, 0.5
_KEPT_A_LOT = 0.5  # chosen: a text that keeps at least half of the reply is the reply, corrected


def meant(signal: str, sent: str | None, reply: str | None) -> tuple[float | None, str | None]:
    """Return the rating and the correction that lie in what a user did.

    >>> meant("regenerated", None, "Yes."), meant("sent", "Dear Ann, it ships today", "Dear Ann, it ships today")
    ((-0.25, None), (0.5, None))
    >>> meant("sent", "Dear Ann, it ships tomorrow", "Dear Ann, it ships today")
    (None, 'Dear Ann, it ships tomorrow')
    """
    if signal == "regenerated":
        return REGENERATED, None
    if signal == "copied":
        return COPIED, None
    if sent is None or not reply:  # erased, or nothing to compare it with
        return None, None
    kept = kept_share(reply, sent)
    if kept == 1:
        return SENT_AS_IT_IS, None
    return (None, sent) if kept >= _KEPT_A_LOT else (REGENERATED, None)


def kept_share(reply: str, sent: str) -> float:
    """Return how much of a reply is in what was sent on, 0-1: one minus the normalised edit distance of their words.

    Source: Levenshtein 1966, over words, divided by the longer text's number of them.

    >>> kept_share("Dear Ann, it ships today", "Dear Ann, it ships tomorrow")
    0.8
    """
    return float(part("rapidfuzz.distance").Levenshtein.normalized_similarity(reply.split(), sent.split()))
