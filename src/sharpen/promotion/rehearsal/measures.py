"""What the gate promises, measured in units that can be done one by one: each is a name, a seed, and a few counts.

In: a unit's name and number. Out: counts as plain JSON, and what they add up to. Must not know files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Design
from sharpen.promotion.power import joint_power
from sharpen.promotion.rehearsal.life import START, Step, live
from sharpen.promotion.rehearsal.regressions import PLANTED, clean, passes
from sharpen.promotion.rehearsal.world import AGREEMENT
from sharpen.stats import HORIZON, Floats

SETTINGS = PromotionSection(resamples=1000)  # as shipped, with fewer resamples: the tail sets their number anyway
GROUPS = ("a", "b", "c", "d")
CYCLES = (1, 10, 20)
EFFECTS = (0.0, 0.5, 1.0, 2.0)  # times the declared one
LUCK = 0.01  # standard deviation of a challenger's true gain where nothing in particular happens
_CLUSTER = 4

Counts = dict[str, float]


def designs(attempt: int = HORIZON, *, is_clustered: bool = False) -> dict[str, Design]:
    """Return a target with four groups and two guards, of the sizes that `joint_power` (and so doctor) asks for."""
    many = 1000  # any size will do: what is needed does not depend on it
    clusters = many // _CLUSTER if is_clustered else 0
    target = Design("target", many, _CLUSTER if is_clustered else 1, clusters, _groups(many))
    guards = [Design("general", many), replace(target, suite="safety", groups=())]
    needed = joint_power([target], guards, SETTINGS, attempt=attempt).needed
    return {one.suite: _sized(one, needed[one.suite] or many) for one in (target, *guards)}


def a_a(seed: int, *, is_clustered: bool = False, lives: int = 10) -> Counts:
    """Lives of 20 cycles in which no challenger is better: count those with any promotion."""
    return _any_promoted(designs(is_clustered=is_clustered), seed, lives)


def a_a_alone(seed: int, *, is_clustered: bool = False, lives: int = 10) -> Counts:
    """The same with nothing else in the way: no guard, no group, an in-context arm that anything beats."""
    bare = {"target": replace(designs(is_clustered=is_clustered)["target"], groups=())}
    return _any_promoted(bare, seed, lives, prompted=-0.3)


def at_the_margin(seed: int, *, lives: int = 10) -> Counts:
    """The same, where every challenger gains what was declared, and loses just the margin on one guard."""
    return _any_promoted(designs(), seed, lives, gain=SETTINGS.effect, loss=SETTINGS.guard_margin, prompted=-0.3)


def lives_with_gains(seed: int, *, refresh: float) -> Counts:
    """One life: the declared gain in cycles 1, 10 and 20, now and then in between, else luck. Power and bias."""
    rng = np.random.default_rng([seed, 2])
    gains = [
        SETTINGS.effect if cycle + 1 in CYCLES or rng.random() < 0.15 else rng.normal(0, LUCK)
        for cycle in range(HORIZON)
    ]
    steps = live(designs(), gains, SETTINGS, rng, refresh=refresh)
    counts: Counts = {"lives": 1}
    for cycle in CYCLES:
        counts[f"promoted at {cycle}"] = float(steps[cycle - 1].outcome.promoted)
    return counts | _overclaimed([step for step in steps if step.published is not None])


def plain_rule(seed: int, *, is_fresh: bool, lives: int = 50, cases: int = 100) -> Counts:
    """Lives of 20 cycles under "better on 100 cases", always the same or fresh ones: how much is claimed, and true."""
    rng = np.random.default_rng([seed, 3])
    promotions = claimed = true = 0.0

    def answers(accuracy: float, shared: Floats) -> Floats:
        luck: Floats = np.where(rng.random(cases) < AGREEMENT, shared, rng.random(cases))
        return (luck < accuracy).astype(np.float64)

    for _ in range(lives):
        accuracy, shared = START, rng.random(cases)
        champion = answers(accuracy, shared)
        for _ in range(HORIZON):
            if is_fresh:
                shared = rng.random(cases)
                champion = answers(accuracy, shared)
            gain = rng.normal(0, LUCK)
            challenger = answers(accuracy + gain, shared)
            seen = float(challenger.mean() - champion.mean())
            if seen > 0:
                promotions, claimed, true = promotions + 1, claimed + seen, true + gain
                champion, accuracy = challenger, accuracy + gain
    return {"lives": lives, "promotions": promotions, "claimed": claimed, "true": true}


def cases_used(seed: int, *, effect: float, attempt: int, is_whole: bool = False, scale: float = 1.0) -> Counts:
    """One attempt at a multiple of the declared effect, with the cases that this very attempt needs."""
    sizes = designs(attempt)
    if is_whole:
        sizes = {name: replace(_sized(one, int(scale * one.cases)), is_whole=True) for name, one in sizes.items()}
    gains = [0.0] * (attempt - 1) + [effect * SETTINGS.effect]
    outcome = live(sizes, gains, SETTINGS, np.random.default_rng([seed, 4]), only=[attempt - 1])[0].outcome
    return {"attempts": 1, "promoted": float(outcome.promoted), "cases": float(outcome.cases)}


def planted(seed: int, *, name: str) -> Counts:
    """One planted regression (or a clean challenger) in a first attempt: was it stopped?"""
    passed = passes(PLANTED.get(name, clean), designs(), SETTINGS, seed)
    return {"attempts": 1, "stopped": float(not passed)}


def _any_promoted(
    sizes: Mapping[str, Design], seed: int, lives: int, *, gain: float = 0.0, loss: float = 0.0, prompted: float = 0.0
) -> Counts:
    """Count lives with a promotion; a life ends with its first one, for what follows is conditioned on an error."""
    count = 0
    for life in range(lives):
        rng = np.random.default_rng([seed, life, 1])
        steps = live(sizes, [gain] * HORIZON, SETTINGS, rng, losses=[loss] * HORIZON, prompted=prompted, is_short=True)
        count += steps[-1].outcome.promoted
    return {"lives": lives, "any promoted": count}


def _overclaimed(promoted: list[Step]) -> Counts:
    return {
        "promotions": len(promoted),
        "true": sum(step.gain for step in promoted),
        "claimed": sum(step.outcome.claimed for step in promoted),
        "published": sum(step.published or 0.0 for step in promoted),
    }


def _groups(cases: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, cases // len(GROUPS)) for name in GROUPS)


def _sized(one: Design, cases: int) -> Design:
    step = len(GROUPS) * max(1, one.largest)
    cases = -(-cases // step) * step
    return Design(
        one.suite,
        cases,
        one.largest,
        cases // one.largest if one.clusters else 0,
        _groups(cases) if one.groups else (),
    )
