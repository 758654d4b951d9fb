"""How a claim stands: shown, not yet, hopeless, beyond what its cases can tell, or refuted.

In: a claim, its paired cases, this attempt's alpha. Out: a Comparison. Must not know what is decided on it.

A suite that is evaluated whole is tested once, at alpha. One that is looked at on the way has two chances at alpha / 2
each: the betting e-process, which may stop at any moment, and the fixed test when every case is in. Bonferroni's
inequality bounds the two together by alpha.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from sharpen.config import PromotionSection
from sharpen.errors import Refused
from sharpen.promotion.claims import Claim, Design
from sharpen.promotion.samples import Sample
from sharpen.records import Comparison
from sharpen.stats import (
    MOST_RESAMPLES,
    Interval,
    cases_for,
    conditional_power,
    confidence_sequence,
    log_capital,
    paired_difference,
    sign_flip_p,
    spend,
)
from sharpen.stats.power import POWER, spread_of

MIN_CLUSTERS = 10  # chosen: with fewer, no interval's coverage could be confirmed by simulation
SPREAD = 0.15  # chosen: two versions of one model differ on about one case in seven; used where nothing is known yet
FUTILE = 0.1  # chosen: an evaluation whose chance to pass fell below this stops; tests/calibration shows what it costs

State = Literal["passed", "open", "futile", "unarmed", "failed"]


@dataclass(frozen=True)
class Terms:
    """On what terms claims are tested in this attempt."""

    alpha: float
    next_alpha: float
    resamples: int = 10_000
    seed: int = 0


def terms_of(settings: PromotionSection, attempt: int, seed: int = 0) -> Terms:
    """Return on what terms an attempt's claims are tested."""
    alpha, after = spend(settings.alpha, attempt), spend(settings.alpha, attempt + 1)
    return Terms(alpha, after, settings.resamples, seed)


def look(claim: Claim, sample: Sample, design: Design, terms: Terms, *, share: float = 1.0) -> State:
    """Say how a claim stands while its suite is still being evaluated: passed, open or futile.

    `share` is the part of alpha that one of several targets gets.
    """
    alpha = terms.alpha * share
    sums, sizes = sample.by_cluster
    if not design.is_looked_at or len(sums) < MIN_CLUSTERS:
        return "open"
    if most_capital(claim, sample, design, terms) >= -math.log(alpha / 2):
        return "passed"
    chance = conditional_power(
        (len(sample), max(design.of(claim.group), len(sample))),
        float(sums.sum() / sizes.sum()),
        claim.hoped,
        boundary=claim.null,
        spread=spread_of(sums, sizes),
        alpha=alpha / 2,
    )
    return "futile" if chance < FUTILE else "open"


def weigh(
    claim: Claim, sample: Sample, design: Design, terms: Terms, *, is_complete: bool = True, share: float = 1.0
) -> Comparison:
    """Weigh a claim: its state, and the interval that goes with it. `share` as in `look`.

    Raises: Refused on fewer than 10 clusters of a complete target, and on values that are no scores.
    """
    final = terms.alpha * share / 2 if design.is_looked_at else terms.alpha * share
    sums, sizes = sample.by_cluster
    if not np.isfinite(sums).all():
        raise Refused("a score is missing or not a number")
    if len(sums) < MIN_CLUSTERS:
        if is_complete and claim.kind == "better":
            raise Refused(f"only {len(sums)} independent cases are scored, and at least {MIN_CLUSTERS} are needed")
        return _blank(claim, sample, design, 1 - 2 * final, "unarmed" if is_complete else "open")
    capital = most_capital(claim, sample, design, terms) if design.is_looked_at else -math.inf
    is_early = capital >= -math.log(final)
    spread = spread_of(sums, sizes)
    resolves = -float(ndtri(final)) * math.sqrt(spread / max(design.of(claim.group), len(sample)))
    if is_complete:
        p_value, found = _p_value(sample, final, terms), _fixed(sample, 1 - 2 * final, terms)
        is_shown = found.low > claim.null and (claim.kind != "better" or p_value <= final)
        state: State = "passed" if is_shown or is_early else _refused(claim, found, resolves)
    else:
        state, is_shown = look(claim, sample, design, terms, share=share), False
    if not is_complete or (is_early and not is_shown):
        found = _running(sample, design, 1 - 2 * final, claim.hoped)
        p_value = math.exp(-max(capital, 0.0))  # an e-value's inverse is a p-value
    return Comparison(
        against=claim.against, suite=claim.suite, group=claim.group, claim=claim.kind, boundary=claim.boundary,
        n=found.n, challenger=float(sample.ours.mean()), other=float(sample.theirs.mean()), effect=found.value,
        low=found.low, high=found.high, level=found.level, p_value=p_value, state=state,
        planned=design.of(claim.group), e_value=math.exp(min(capital, 700.0)) if design.is_looked_at else None,
        resolves=None if claim.kind == "better" else resolves,
        more_cases=None if state == "passed" else _more(claim, found, design, spread, terms),
    )  # fmt: skip


def most_capital(claim: Claim, sample: Sample, design: Design, terms: Terms) -> float:
    """Return the log of the most capital that bets against the claim's opposite have ever had."""
    sums, sizes = sample.by_cluster
    path = log_capital(
        sums,
        sizes,
        claim.null,
        largest=design.largest,
        expected=claim.hoped,
        spread=SPREAD,
        size=design.size,
    )
    return float(path.max())


def quick_p(sample: Sample, terms: Terms) -> float:
    """Return the exact p-value that Holm's order stands on. Raises: Refused where there is nothing to test."""
    return _p_value(sample, terms.alpha, terms)


def _fixed(sample: Sample, level: float, terms: Terms) -> Interval:
    return paired_difference(
        sample.ours, sample.theirs, sample.clusters, level=level, resamples=terms.resamples, seed=terms.seed
    )


def _running(sample: Sample, design: Design, level: float, expected: float) -> Interval:
    sums, sizes = sample.by_cluster
    low, high = confidence_sequence(
        sums, sizes, largest=design.largest, level=level, expected=expected, spread=SPREAD, size=design.size
    )
    return Interval(float(sums.sum() / sizes.sum()), low, high, len(sample), level)


def _p_value(sample: Sample, alpha: float, terms: Terms) -> float:
    """Return the exact sign-flip p-value that the effect is positive; from a guard nobody asks a gain."""
    finest = min(max(terms.resamples, math.ceil(20 / alpha)), MOST_RESAMPLES)  # twenty or more below alpha
    return sign_flip_p(sample.ours - sample.theirs, sample.clusters, resamples=finest, seed=terms.seed)


def _refused(claim: Claim, found: Interval, resolves: float) -> State:
    if found.high < (0.0 if claim.kind == "better" else claim.null):
        return "failed"
    return "unarmed" if claim.kind == "not_worse" and resolves >= -claim.boundary else "open"


def _more(claim: Claim, found: Interval, design: Design, spread: float, terms: Terms) -> int | None:
    """Return how many more cases of the suite the next attempt would need, if the effect stays as it is."""
    needed = cases_for(POWER, found.value, claim.null, spread, terms.next_alpha / 2)
    if needed is None:
        return None
    scale = design.cases / max(1, design.of(claim.group))
    return max(1, math.ceil((needed - found.n) * scale)) if needed > found.n else None


def _blank(claim: Claim, sample: Sample, design: Design, level: float, state: State) -> Comparison:
    """Return what too few cases say: nothing."""
    ours = float(np.mean(sample.ours)) if len(sample) else 0.0
    theirs = float(np.mean(sample.theirs)) if len(sample) else 0.0
    return Comparison(
        against=claim.against, suite=claim.suite, group=claim.group, claim=claim.kind, boundary=claim.boundary,
        n=len(sample), challenger=ours, other=theirs, effect=ours - theirs, low=-1.0, high=1.0, level=level,
        p_value=1.0, state=state, planned=design.of(claim.group), resolves=1.0,
    )  # fmt: skip
