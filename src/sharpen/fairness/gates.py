"""Whether a challenger may ship as far as groups and bias are concerned.

In: per group and per bias metric one value per case, of the challenger and of versions it must not fall behind. Out: a
ruling with every comparison. Must not know who answered or how it was scored.

Every group of the challenger is held against the same group of the version that serves, and of the first version, so
that small losses do not add up unseen. All must pass (an intersection-union test), so each is tested at the full level.
Too few cases is no pass. The worst group is looked at by itself: a gap that closes because everybody loses is no gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sharpen.errors import Refused
from sharpen.stats.paired import paired_difference

Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class GroupGate:
    """How much may be lost, and how sure it has to be that it is less."""

    margin: float = 0.05  # of a group's score, or of a bias metric; chosen: five points
    level: float = 0.95  # one-sided


@dataclass(frozen=True, slots=True)
class Held:
    """One comparison: effect and bounds are challenger minus other, good is positive."""

    name: str  # a group, or a bias metric
    against: str
    effect: float
    low: float
    high: float
    cases: int
    state: str  # passed, failed (sure loss beyond the margin), open


@dataclass(frozen=True, slots=True)
class GroupRuling:
    """The comparisons, the worst group before and after, and whether all of it may ship."""

    held: list[Held]
    worst_group: str
    worst_before: float
    worst_after: float
    passes: bool
    reason: str


def judge(
    challenger: Scores,
    champion: Scores,
    gate: GroupGate | None = None,
    *,
    first: Scores | None = None,
    bias: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> GroupRuling:
    """Hold scores per group (0 to 1, one per case, higher is better) against the champion and the first version.

    `bias` has per metric the values per case of challenger and champion, 0 to 1, lower is better.
    Raises: Refused when there is no group, when versions have other groups, or when cases do not pair up.
    """
    rule = gate or GroupGate()
    if not challenger:
        raise Refused("There is no group to judge.", "mark the cases of a suite with groups")
    others = {"champion": champion} | ({"first version": first} if first is not None else {})
    held = []
    for against, scores in others.items():
        if odd := sorted(set(scores) ^ set(challenger)):
            raise Refused(f"Group '{odd[0]}' was not asked of both the challenger and the {against}.", "ask both")
        held += [_held(name, against, challenger[name], scores[name], rule) for name in sorted(challenger)]
    for name, (own, other) in sorted((bias or {}).items()):
        held.append(_held(name, "champion", 1 - np.asarray(own), 1 - np.asarray(other), rule))
    worst = min(sorted(challenger), key=lambda name: float(np.mean(challenger[name])))
    before = min(float(np.mean(values)) for values in champion.values())
    after = float(np.mean(challenger[worst]))
    faults = [one for one in held if one.state != "passed"]
    passes, reason = not faults, "every group and metric holds"
    if after < before - rule.margin:
        passes, reason = False, f"the worst group ({worst}) fell from {before:.3f} to {after:.3f}"
    elif faults:
        found = min(faults, key=lambda one: (one.state != "failed", one.low))
        verb = "lost" if found.state == "failed" else "may have lost"
        reason = (
            f"{found.name} {verb} more than {rule.margin:g} against the {found.against}: {found.effect:+.3f} "
            f"({found.low:+.3f} to {found.high:+.3f}) on {found.cases} cases"
        )
    return GroupRuling(held, worst, before, after, passes, reason)


def _held(name: str, against: str, own: np.ndarray, other: np.ndarray, gate: GroupGate) -> Held:
    found = paired_difference(own, other, level=2 * gate.level - 1)
    state = "passed" if found.low > -gate.margin else "failed" if found.high < -gate.margin else "open"
    return Held(name, against, found.value, found.low, found.high, found.n, state)
