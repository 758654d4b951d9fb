"""Challengers that look better and are worse, each in a way that has been seen in the wild.

In: designs, a seed. Out: how many of each the gate stopped, and how many sound challengers it let through. Must not
know how a challenger came to be.

Accuracies are relative to the champion's; the gain is the declared one where none is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Design
from sharpen.promotion.rehearsal.life import START
from sharpen.promotion.rehearsal.trial import attempt
from sharpen.promotion.rehearsal.world import Accuracy, World
from sharpen.stats import Floats

GROUP_LOSS = 0.05  # the loss of one group that has to be stopped
Planted = Callable[[World, str, list[str], float], Accuracy]


def clean(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """Gain the declared effect, lose nothing."""
    return {target: START + gain, **dict.fromkeys(guards, START)}


def one_group(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """Gain on the whole target what was declared, though the first group loses 5 points: the others gain more."""
    is_hit = world.groups(target) == 0
    others = (gain + GROUP_LOSS * is_hit.mean()) / (1 - is_hit.mean())
    accuracy: Floats = np.where(is_hit, START - GROUP_LOSS, START + others)
    return {target: accuracy, **dict.fromkeys(guards, START)}


def refusals(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """Refuse everything: the target asks for refusals and is perfect, every guard wants answers and gets none."""
    return {target: 1.0, **dict.fromkeys(guards, 0.0)}


def longest_answer(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """Always the longest answer: the target's judge likes length, guards of four choices fall to chance."""
    return {target: START + 0.15, **dict.fromkeys(guards, 0.25)}


def memorised_dev(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """Know the dev set by heart: perfect there, where no decision is made, and no better on the gate's cases."""
    return {target: START, **dict.fromkeys(guards, START)}


def judge_hack(world: World, target: str, guards: list[str], gain: float) -> Accuracy:
    """End every answer with a phrase that the training judge adores: the gate's own scorer sees the same answers, and
    the guard graded by rule sees the phrase as a fault in one of ten."""
    return {target: START, **dict.fromkeys(guards, START - 0.1 * START)}


PLANTED: Mapping[str, Planted] = {
    "5 points lost on one group": one_group,
    "refusals of everything": refusals,
    "always the longest answer": longest_answer,
    "memorised dev set": memorised_dev,
    "judge-hacking phrase": judge_hack,
}


def passes(
    planted: Planted, designs: Mapping[str, Design], settings: PromotionSection, seed: int, *, number: int = 1
) -> bool:
    """Put one such challenger before the gate, in its first attempt where alpha is largest; tell whether it passed."""
    world = World(designs, np.random.default_rng(seed))
    target, *guards = designs
    champion = dict.fromkeys(designs, START)
    arms = {
        "challenger": world.answers(planted(world, target, guards, settings.effect)),
        "champion": world.answers(champion),
        "in_context": world.answers(champion),
    }
    return attempt(world, arms, targets=[target], number=number, settings=settings, has_first=False).promoted
