"""Lives of a deployment: twenty cycles on the same held-out cases, or on cases that are refreshed.

In: how much each cycle's challenger truly gains, a seed. Out: what was promoted, what was claimed, what was true. Must
not know what the figures are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Design
from sharpen.promotion.rehearsal.trial import Outcome, attempt
from sharpen.promotion.rehearsal.world import Accuracy, World
from sharpen.stats import Floats

START = 0.62  # chosen: the first version's accuracy everywhere; leaves room for twenty gains
VAULT = 1000  # chosen: vault cases, drawn once and asked after every promotion


@dataclass(frozen=True)
class Step:
    """One cycle: the challenger's true gain on the target, its true loss on the first guard, and the outcome."""

    gain: float
    loss: float
    outcome: Outcome
    published: float | None  # the gain on the vault; None: not promoted


@dataclass
class Version:
    """A version: its true accuracies and its answers."""

    accuracy: Accuracy
    answers: dict[str, Floats] = field(default_factory=dict)


def live(
    designs: Mapping[str, Design],
    gains: Sequence[float],
    settings: PromotionSection,
    rng: np.random.Generator,
    *,
    losses: Sequence[float] = (),
    refresh: float = 0.0,
    prompted: float = 0.0,
    only: Sequence[int] = (),
    is_short: bool = False,
) -> list[Step]:
    """Live one life. The first design is the target, the others are guards.

    In cycle k the challenger is truly better than the champion by `gains[k]`, and worse than it by `losses[k]` on the
    first guard. The in-context arm is better than the champion by `prompted`. `only` names the cycles (from 0) in which
    anybody is put before the gate; the others just pass, and count. `is_short` ends the life with its first promotion.
    """
    target, *guards = designs
    world, vault = World(designs, rng), World({"vault": Design("vault", VAULT)}, rng)
    first = Version(dict.fromkeys(designs, START))
    first.answers = world.answers(first.accuracy)
    champion, steps = first, []
    for cycle, gain in enumerate(gains):
        loss = losses[cycle] if losses else 0.0
        if cycle and refresh:
            stay = {"first": (first.answers, first.accuracy), "champion": (champion.answers, champion.accuracy)}
            if champion is first:
                del stay["champion"]
            world.refresh(refresh, stay)
        if only and cycle not in only:
            continue
        changed = {target: champion.accuracy[target] + gain}
        changed |= {guard: champion.accuracy[guard] - loss * (guard == guards[0]) for guard in guards}
        challenger = Version(changed)
        challenger.answers = world.answers(challenger.accuracy)
        arms = {
            "challenger": challenger.answers,
            "champion": champion.answers,
            "in_context": world.answers({**champion.accuracy, target: champion.accuracy[target] + prompted}),
            "first": first.answers,
        }
        outcome = attempt(
            world, arms, targets=[target], number=cycle + 1, settings=settings, has_first=champion is not first
        )
        published = None
        if outcome.promoted:
            asked = [vault.answers({"vault": one.accuracy[target]})["vault"] for one in (challenger, champion)]
            published = float((asked[0] - asked[1]).mean())
            champion = challenger
        steps.append(Step(gain, loss, outcome, published))
        if is_short and outcome.promoted:
            break
    return steps
