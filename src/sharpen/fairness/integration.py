"""Put the critiques of several perspectives together: which issues count, how much, and which must not be lost.

In: issues, already in clusters of the same matter, and the perspectives' weights. Out: scores, a selection, and why
something was left out. Must not know a model: what is scored here is decided here, and nobody rewrites it.

    S_j = (1 - g) sum_p pi_p s_pj + g max_p u_p s_pj

pi are the perspectives' weights, u their reliability, s severities in [0, 1]. g = 0 asks what most suffer, g = 1 what
anyone suffers. A perspective has one vote per matter, its strongest, so that a critic that is cloned gains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sharpen.errors import Refused

EGALITARIAN = 0.5  # chosen: half what most suffer, half what anyone does
UNCITED = 0.3  # chosen: what a claim counts for that names no evidence
VETO = 0.75  # chosen: 3 of 4 on the scale of severities; with evidence, such a harm is never averaged away


@dataclass(frozen=True, slots=True)
class Issue:
    """One perspective's finding on one matter."""

    perspective: str
    matter: str  # the cluster of findings that mean the same
    severity: float  # 0 to 1
    has_evidence: bool
    wants: Literal["add", "remove", ""] = ""  # of the text; opposite wishes are not averaged


@dataclass(frozen=True, slots=True)
class Scored:
    """One matter after integration."""

    matter: str
    score: float
    perspectives: tuple[str, ...]
    is_veto: bool  # severe, with evidence, whoever said it
    is_contested: bool  # one wants it in, another wants it out: show both, or ask
    fate: Literal["chosen", "left out"]
    reason: str


def integrate(
    issues: Sequence[Issue],
    perspectives: Mapping[str, float],
    *,
    reliability: Mapping[str, float] | None = None,
    most: int = 5,
    egalitarian: float = EGALITARIAN,
) -> list[Scored]:
    """Return every matter with its score and fate, the weightiest first.

    Vetoes are always chosen; then each perspective that found anything is heard once, its weightiest matter, while
    there is room; then the highest scores fill up to `most`.
    Raises: Refused when an issue is of a perspective that has no weight, or a severity is not in [0, 1].
    """
    trust = reliability or {}
    total = math.fsum(perspectives.values())
    if not perspectives or not total > 0:
        raise Refused("There are no perspectives with a weight.", "configure at least one")
    felt: dict[str, dict[str, float]] = {}
    wishes: dict[str, set[str]] = {}
    vetoes: set[str] = set()
    for issue in issues:
        if issue.perspective not in perspectives:
            raise Refused(f"Perspective '{issue.perspective}' has no weight.", "add it to the perspectives")
        if not 0 <= issue.severity <= 1:
            raise Refused(f"Severity {issue.severity} of '{issue.matter}' is not between 0 and 1.", "scale it")
        severity = issue.severity * (1.0 if issue.has_evidence else UNCITED)
        votes = felt.setdefault(issue.matter, {})
        votes[issue.perspective] = max(votes.get(issue.perspective, 0.0), severity)
        wishes.setdefault(issue.matter, set()).add(issue.wants)
        if issue.has_evidence and issue.severity >= VETO:
            vetoes.add(issue.matter)
    scores = {
        # fsum: a plain sum depends on the order in its last digit, and a tie would too
        matter: (1 - egalitarian) * math.fsum(perspectives[name] / total * found for name, found in votes.items())
        + egalitarian * max(trust.get(name, 1.0) * found for name, found in votes.items())
        for matter, votes in felt.items()
    }
    ranked = sorted(felt, key=lambda matter: (-scores[matter], matter))
    chosen = _chosen(ranked, felt, vetoes, most)
    return [
        Scored(
            matter,
            scores[matter],
            tuple(sorted(felt[matter])),
            matter in vetoes,
            {"add", "remove"} <= wishes[matter],
            "chosen" if matter in chosen else "left out",
            chosen.get(matter, f"there was room for {most}"),
        )
        for matter in ranked
    ]


def _chosen(
    ranked: Sequence[str], felt: Mapping[str, Mapping[str, float]], vetoes: Collection[str], most: int
) -> dict[str, str]:
    chosen = {matter: "severe, with evidence" for matter in ranked if matter in vetoes}
    speakers = {name for votes in felt.values() for name in votes}
    while len(chosen) < most:
        unheard = speakers - {name for matter in chosen for name in felt[matter]}
        left = [matter for matter in ranked if matter not in chosen and unheard & set(felt[matter])]
        if not left:
            break
        # Whoever hears most of those that were not heard, so that few places reach many; equals by score.
        pick = max(left, key=lambda matter: (len(unheard & set(felt[matter])), -ranked.index(matter)))
        chosen[pick] = "the weightiest of a perspective that was not heard yet"
    for matter in ranked:
        if len(chosen) >= most:
            break
        chosen.setdefault(matter, "among the highest scores")
    return chosen
