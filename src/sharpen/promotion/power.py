"""Can these suites see the effect that is asked for? Answered before anything is trained.

In: the designs of target and guards, the settings. Out: the chance that a challenger which gains the declared effect,
and loses nothing, passes *every* claim; and the cases that would bring that chance to 0.8. Must not know answers.

Claims on the same cases rise and fall together, so the product of their chances is a lower bound of the joint one
(Šidák 1967, JASA 62:626-633, for the normal case; Slepian's inequality).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Claim, Design, claims
from sharpen.promotion.weigh import SPREAD
from sharpen.stats import HORIZON, spend
from sharpen.stats.power import POWER, cases_for, power_of

CORRELATION = 0.3  # chosen: between cases of one cluster; an evaluation's own verdict measures it later


@dataclass(frozen=True)
class ClaimPower:
    """One claim: its cases, the chance that it passes, the cases of its suite that it needs, the loss it resolves."""

    claim: Claim
    cases: int
    power: float
    needed: int | None
    is_armed: bool


@dataclass(frozen=True)
class Power:
    """The joint chance at an attempt, and what each suite needs for a joint chance of 0.8."""

    attempt: int
    joint: float
    each: tuple[ClaimPower, ...]

    @property
    def needed(self) -> dict[str, int | None]:
        """Gate cases per suite for a joint chance of 0.8; None where no number would do."""
        found: dict[str, int | None] = {}
        for one in self.each:
            before = found.get(one.claim.suite, 0)
            found[one.claim.suite] = None if before is None or one.needed is None else max(before, one.needed)
        return found

    @property
    def unarmed(self) -> tuple[str, ...]:
        """The guards whose cases cannot resolve their margin even if nothing changes."""
        places = [
            f"{one.claim.suite} [{one.claim.group}]" if one.claim.group else one.claim.suite
            for one in self.each
            if not one.is_armed
        ]
        return tuple(dict.fromkeys(places))


def joint_power(
    targets: Sequence[Design],
    guards: Sequence[Design],
    settings: PromotionSection,
    *,
    attempt: int = HORIZON,
    spread: float = SPREAD,
    correlation: float = CORRELATION,
    has_first: bool = True,
) -> Power:
    """Return the joint chance to promote a challenger that gains `settings.effect` everywhere on the target.

    `spread` is the variance of a case's paired difference, `correlation` that between cases of one cluster. Of the
    in-context arm the same gain is assumed, against the first version as much. The default attempt is the twentieth:
    who has cases for it has cases for every earlier one.
    """
    aims = {one.suite for one in targets}
    designs = {one.suite: one for one in (*targets, *guards)}
    made = claims(list(designs.values()), aims, settings, has_first)
    each_needs = POWER ** (1 / max(1, len(made)))
    alpha = spend(settings.alpha, attempt)
    found = [
        _one(
            claim,
            designs[claim.suite],
            alpha=alpha,
            power=each_needs,
            spread=spread,
            correlation=correlation,
        )
        for claim in made
        if claim.kind != "floor"  # a floor is a fact about the mean, and nobody declares what that will be
    ]
    return Power(attempt, math.prod(one.power for one in found), tuple(found))


def _one(
    claim: Claim,
    design: Design,
    *,
    alpha: float,
    power: float,
    spread: float,
    correlation: float,
) -> ClaimPower:
    final = alpha / 2 if design.is_looked_at else alpha
    # Where a gain of e is made, e more of the cases differ.
    wide = (spread + claim.hoped * (1 - claim.hoped)) * (1 + (design.size - 1) * correlation)
    cases = design.of(claim.group)
    scale = design.cases / cases if cases else math.inf
    needed = cases_for(power, claim.hoped, claim.null, wide, alpha / 2)
    return ClaimPower(
        claim=claim,
        cases=cases,
        power=power_of(cases, claim.hoped, claim.null, wide, final),
        needed=None if needed is None or math.isinf(scale) else math.ceil(needed * scale),
        is_armed=claim.kind == "better" or power_of(cases, 0.0, claim.null, wide, final) >= 1 / 2,
    )
