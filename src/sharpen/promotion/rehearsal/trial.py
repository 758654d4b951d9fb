"""One attempt of one challenger: evaluation in parts, then the decision, exactly as a cycle does it.

In: a world, the answers of every arm. Out: the decision, the cases it took, the effect that the gate saw. Must not know
what is counted over many trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Claim, Design, claims
from sharpen.promotion.gate import weigh_all
from sharpen.promotion.rehearsal.world import Rehearsed, World
from sharpen.promotion.rule import judge
from sharpen.promotion.sequential import looks, stand
from sharpen.promotion.weigh import Terms, look, terms_of
from sharpen.records import Comparison
from sharpen.stats import Floats


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt."""

    promoted: bool
    cases: int  # asked per arm, over all suites
    claimed: float  # the gain on the target over the champion, on the cases that were asked
    comparisons: tuple[Comparison, ...] = ()  # empty where it stopped for want of hope


def attempt(
    world: World,
    arms: Mapping[str, Mapping[str, Floats]],
    *,
    targets: Sequence[str],
    number: int,
    settings: PromotionSection,
    has_first: bool,
) -> Outcome:
    """Put a challenger before the gate; `arms` holds the answers of challenger, champion, in_context and first."""
    terms = terms_of(settings, number)
    made = claims(list(world.designs.values()), targets, settings, has_first)
    source = Rehearsed(world, arms)
    waiting = frozenset(world.designs)
    for share in looks(world.designs.values()):
        for suite in waiting:
            source.ask(suite, share)
        if share < 1:
            waiting = stand(made, source, world.designs, terms, allow_unarmed=settings.allow_unarmed)
        if not waiting:
            break
    gain = made[0]
    sample = source.of(gain)
    claimed, cases = float((sample.ours - sample.theirs).mean()), sum(source.asked.values())
    if any(_is_futile(claim, source, world.designs[claim.suite], terms) for claim in made):
        return Outcome(False, cases, claimed)  # the verdict would weigh everything, and hold
    comparisons = weigh_all(made, source, world.designs, terms)
    promoted = judge(comparisons, allow_unarmed=settings.allow_unarmed).decision == "promote"
    return Outcome(promoted, cases, claimed, tuple(comparisons))


def _is_futile(claim: Claim, source: Rehearsed, design: Design, terms: Terms) -> bool:
    is_open = source.answered(claim.suite) < design.cases
    return is_open and look(claim, source.of(claim), design, terms) == "futile"
