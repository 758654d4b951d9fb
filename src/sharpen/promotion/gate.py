"""The gate: is the challenger better, and does nothing get worse?

In: scores per arm, of the target and of every guard. Out: a Verdict. Must not know how scores were made, or what a
promotion sets in motion. It reads no clock and no store: the same scores and seed give the same decision.

The challenger is promoted only if *every* condition holds: it beats the champion and the in-context arm on the target,
by the bootstrap interval and by the exact test, and on each guard it loses no more than the margin. Every condition is
tested at the whole alpha of this attempt, with no further correction: a false promotion must pass the very test whose
hypothesis is true, and that test lets it pass with a chance of alpha at most.
Source: Berger 1982, Technometrics 24:295-300 (intersection-union tests); Miller 2024, arXiv:2411.00640 (paired
differences and clustered errors for evaluations of language models).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sharpen.config import PromotionSection
from sharpen.errors import Refused
from sharpen.records import Comparison, Decision, Score, Verdict, content_hash
from sharpen.stats import MOST_RESAMPLES, paired_difference, sign_flip_p, spend
from sharpen.verify.pairing import Pairs, pair

MIN_CLUSTERS = 10  # chosen: with fewer, no interval's coverage could be confirmed by simulation

Arms = Mapping[str, Sequence[Score]]
Fault = tuple[Decision, str]


def decide(
    *,
    cycle_id: str,
    champion_id: str,
    challenger_id: str,
    target: Arms,
    guards: Mapping[str, Arms],
    attempt: int,
    settings: PromotionSection,
    seed: int = 0,
) -> Verdict:
    """Decide whether the challenger becomes the champion.

    `target` holds the Scores of the arms champion, challenger and in_context on the same cases; `guards` holds, per
    suite, those of champion and challenger. `attempt` counts this deployment's tested decisions, from 1. A Verdict
    that tested nothing (equal versions, too little to compare) has alpha_spent 0 and needs not be counted.
    """
    alpha = spend(settings.alpha, attempt)

    def verdict(decision: Decision, reason: str, comparisons: Sequence[Comparison] = ()) -> Verdict:
        return _verdict(
            decision,
            reason,
            comparisons,
            alpha_spent=alpha if comparisons else 0.0,
            cycle_id=cycle_id,
            champion_id=champion_id,
            challenger_id=challenger_id,
            attempt=attempt,
        )

    if champion_id == challenger_id:
        return verdict("hold", "the challenger is the champion; nothing was learned")
    wanted = [("the target", target, "champion"), ("the target", target, "in_context")]
    wanted += [(f"guard {name}", arms, "champion") for name, arms in guards.items()]
    comparisons: list[Comparison] = []
    for place, arms, against in wanted:
        try:
            comparisons.append(compare(arms, against, level=1 - 2 * alpha, resamples=settings.resamples, seed=seed))
        except Refused as error:
            return verdict("hold", f"{place} cannot be compared with the {_title(against)}: {error.what.rstrip('.')}")
    return verdict(*judge(comparisons, alpha=alpha, settings=settings), comparisons)


def hold(*, cycle_id: str, champion_id: str, challenger_id: str, attempt: int, reason: str) -> Verdict:
    """Return the Verdict of a cycle that has nothing to compare; it spends no alpha."""
    return _verdict(
        "hold",
        reason,
        cycle_id=cycle_id,
        champion_id=champion_id,
        challenger_id=challenger_id,
        attempt=attempt,
    )


def _verdict(
    decision: Decision,
    reason: str,
    comparisons: Sequence[Comparison] = (),
    *,
    cycle_id: str,
    champion_id: str,
    challenger_id: str,
    attempt: int,
    alpha_spent: float = 0.0,
) -> Verdict:
    return Verdict(
        id=f"{Verdict.prefix}_{content_hash([cycle_id, champion_id, challenger_id, attempt])}",
        cycle_id=cycle_id,
        champion_id=champion_id,
        challenger_id=challenger_id,
        decision=decision,
        reason=f"{decision.capitalize()}: {reason}.",
        comparisons=tuple(comparisons),
        alpha_spent=alpha_spent,
        attempt=attempt,
    )


def compare(arms: Arms, against: str, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compare the challenger with another arm of a suite, on the cases that both have scored.

    The gate's own comparisons stand at the level it decided on, 1 - 2 alpha; for display, ask here for another.
    Raises: Refused when an arm is missing, too many cases are unscored, or fewer than 10 clusters are left.
    """
    for arm in ("challenger", against):
        if not arms.get(arm):
            raise Refused(f"there are no scores of the {_title(arm)}")
    pairs = pair(arms["challenger"], arms[against])
    clusters = len(set(pairs.clusters))
    if clusters < MIN_CLUSTERS:
        raise Refused(f"only {clusters} independent cases are scored, and at least {MIN_CLUSTERS} are needed")
    suite = arms["challenger"][0].suite
    return weigh(pairs, suite=suite, against=against, level=level, resamples=resamples, seed=seed)


def weigh(pairs: Pairs, *, suite: str, against: str, level: float, resamples: int, seed: int = 0) -> Comparison:
    """Return effect, interval and exact p-value of pairs; `pairs.first` is the challenger."""
    difference = paired_difference(
        pairs.first, pairs.second, pairs.clusters, level=level, resamples=resamples, seed=seed
    )
    finest = min(max(resamples, math.ceil(20 / (1 - level))), MOST_RESAMPLES)  # ten or more below alpha
    p_value = sign_flip_p(pairs.first - pairs.second, pairs.clusters, resamples=finest, seed=seed)
    return Comparison(
        against=against,
        suite=suite,
        n=difference.n,
        challenger=float(pairs.first.mean()),
        other=float(pairs.second.mean()),
        effect=difference.value,
        low=difference.low,
        high=difference.high,
        level=level,
        p_value=p_value,
    )


def judge(comparisons: Sequence[Comparison], *, alpha: float, settings: PromotionSection) -> tuple[Decision, str]:
    """Apply the rule to comparisons at level 1 - 2 alpha: target against champion and in-context arm, then guards."""
    champion, in_context, *guards = comparisons
    faults = [
        fault
        for fault in (
            _better(champion, alpha, settings.min_effect),
            _better(in_context, alpha, 0.0),
            *(_not_worse(guard, settings.guard_margin) for guard in guards),
        )
        if fault
    ]
    if not faults:
        margin = f"; no guard lost {_points(settings.guard_margin, sign=False)} or more" if guards else ""
        return "promote", f"{_shown(champion)}, and {_shown(in_context, suite=False)}{margin}"
    faults.sort(key=lambda fault: fault[0] != "reject")
    decision, reason = faults[0]
    more = len(faults) - 1
    return decision, reason + (f"; {more} more condition{'s' if more > 1 else ''} failed" if more else "")


def _better(comparison: Comparison, alpha: float, least: float) -> Fault | None:
    """Name what is missing for the challenger to be better by more than `least`."""
    shown = _shown(comparison)
    if comparison.high < 0:
        return "reject", f"worse than the {_title(comparison.against)}: {shown}"
    if comparison.low > least and comparison.p_value <= alpha:
        return None
    if comparison.effect <= 0:
        return "hold", f"no gain: {shown}"
    if comparison.low > least:
        return "hold", f"not enough evidence yet: {shown}, exact p {comparison.p_value:.2g}, needed {alpha:.2g}"
    needed = f", and must clear {_points(least)}" if least else ""
    return "hold", f"not enough evidence yet: {shown}{needed}"


def _not_worse(comparison: Comparison, margin: float) -> Fault | None:
    """Name what is missing for a guard to exclude a loss of `margin`."""
    if comparison.low > -margin:
        return None
    shown, limit = _shown(comparison), _points(margin, sign=False)
    if comparison.high < -margin:
        return "reject", f"guard {comparison.suite} lost more than {limit}: {shown}"
    return "hold", f"guard {comparison.suite} may have lost {limit} or more: {shown}, {comparison.n} cases"


def _shown(comparison: Comparison, *, suite: bool = True) -> str:
    """Return a comparison as words: effect and interval in points, i.e. hundredths of the score."""
    level = math.floor(1000 * comparison.level + 1e-9) / 10
    place = f" on {comparison.suite}" if suite else ""
    return (
        f"{_points(comparison.effect)}{place} over the {_title(comparison.against)} "
        f"({level:g} % interval {100 * comparison.low:+.1f} to {100 * comparison.high:+.1f})"
    )


def _points(share: float, *, sign: bool = True) -> str:
    return f"{100 * share:{'+' if sign else ''}.1f} points"


def _title(arm: str) -> str:
    return {"in_context": "in-context arm"}.get(arm, arm)
