"""The gate: is the challenger better, and does nothing get worse?

In: scores per arm, of targets and guards. Out: a Verdict. Must not know how scores were made, or what a promotion sets
in motion. It reads no clock and no store: the same scores and seed give the same decision.

What has to be shown stands in `claims.py`, how one claim is tested in `weigh.py`, what follows in `rule.py`. Every
claim is tested at the whole alpha of this attempt, with no further correction: a false promotion must pass the very
test whose hypothesis is true, and that test lets it pass with a chance of alpha at most. Only several targets share
alpha, by Holm's rule, because one of them suffices.
Source: Berger 1982, Technometrics 24:295-300 (intersection-union tests); Holm 1979, Scand. J. Stat. 6:65-70; Miller
2024, arXiv:2411.00640 (paired differences and clustered errors for evaluations of language models).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.config import PromotionSection
from sharpen.errors import Refused
from sharpen.promotion import controls
from sharpen.promotion.claims import CHAMPION, Arms, Claim, Design, claims, title
from sharpen.promotion.holdout import worn_out
from sharpen.promotion.plan import Plan, bent, plan_hash, plan_of
from sharpen.promotion.rule import Ruling, judge, stopped
from sharpen.promotion.samples import Samples, Source
from sharpen.promotion.weigh import MIN_CLUSTERS, Terms, quick_p, terms_of, weigh
from sharpen.records import Comparison, Score, Verdict, Vital, content_hash
from sharpen.stats import paired_difference, sign_flip_p
from sharpen.verify.pairing import pair

__all__ = ["MIN_CLUSTERS", "compare", "decide", "hold", "weigh_all"]

Suites = Mapping[str, Arms]


def decide(
    *,
    cycle_id: str,
    champion_id: str,
    challenger_id: str,
    targets: Suites,
    guards: Suites,
    attempt: int,
    settings: PromotionSection,
    first_id: str | None = None,
    designs: Mapping[str, Design] | None = None,
    digests: Mapping[str, str] | None = None,
    plan: Plan | None = None,
    earlier: Sequence[Verdict] = (),
    vitals: Sequence[Vital] = (),
    seed: int = 0,
) -> Verdict:
    """Decide whether the challenger becomes the champion.

    Every suite holds the Scores of the arms champion and challenger on the same cases, targets in_context as well, and
    all of them first, where `first_id` is another version than the champion. `attempt` counts this deployment's tested
    decisions, from 1; `earlier` are its verdicts. `designs` says what the suites hold in full; without it, what was
    scored is all there is. `plan` is what was declared before training began. `vitals` is the cycle's page. A Verdict
    that tested nothing (equal versions, too little to compare) has alpha_spent 0 and needs not be counted.
    """
    names: dict[str, object] = {
        "cycle_id": cycle_id,
        "champion_id": champion_id,
        "challenger_id": challenger_id,
        "attempt": attempt,
    }
    now = plan_of(settings, digests or {})
    if champion_id == challenger_id:
        return _verdict(Ruling("hold", "the challenger is the champion; nothing was learned"), names)
    fault = bent(plan, now, earlier) or worn_out(earlier, dict(digests or {}))
    if fault:
        return _verdict(Ruling("hold", fault), names, vitals=tuple(vitals))
    has_first = first_id is not None and first_id != champion_id
    terms, suites = terms_of(settings, attempt, seed), {**targets, **guards}
    source = Samples(suites)
    known = {name: (designs or {}).get(name) or _design(name, arms) for name, arms in suites.items()}
    made = claims([known[name] for name in suites], targets, settings, has_first)
    try:
        comparisons = weigh_all(made, source, known, terms)
    except Refused as error:
        return _verdict(Ruling("hold", error.what.rstrip(".")), names, vitals=tuple(vitals))
    ruling, checks = judge(comparisons, allow_unarmed=settings.allow_unarmed), _checked(made, source, terms)
    broken = [name for name, share in checks.items() if controls.too_many(share, terms.alpha)]
    if broken:
        told = f"the gate fails its own controls on these scores ({', '.join(broken)}); look at the scores' clusters"
        ruling = Ruling("hold", told, ruling.unarmed)
    ruling = stopped(ruling, vitals, settings.stop_on)
    return _verdict(
        ruling,
        names,
        comparisons=tuple(comparisons),
        alpha_spent=terms.alpha,
        alpha=settings.alpha,
        plan=plan_hash(plan or now),
        suites=dict(digests or {}),
        controls=checks,
        vitals=tuple(vitals),
    )


def hold(*, cycle_id: str, champion_id: str, challenger_id: str, attempt: int, reason: str) -> Verdict:
    """Return the Verdict of a cycle that has nothing to compare; it spends no alpha."""
    names = {"cycle_id": cycle_id, "champion_id": champion_id, "challenger_id": challenger_id, "attempt": attempt}
    return _verdict(Ruling("hold", reason), names)


def compare(arms: Arms, against: str, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compare the challenger with another arm of a suite, for display: effect and interval at the level asked for.

    Raises: Refused when an arm is missing or too many cases are unscored.
    """
    for arm in ("challenger", against):
        if not arms.get(arm):
            raise Refused(f"there are no scores of the {title(arm)}")
    pairs = pair(arms["challenger"], arms[against])
    found = paired_difference(pairs.first, pairs.second, pairs.clusters, level=level, resamples=resamples, seed=seed)
    return Comparison(
        against=against, suite=arms["challenger"][0].suite, n=found.n, challenger=float(pairs.first.mean()),
        other=float(pairs.second.mean()), effect=found.value, low=found.low, high=found.high, level=level,
        p_value=sign_flip_p(pairs.first - pairs.second, pairs.clusters, resamples=resamples, seed=seed),
    )  # fmt: skip


def weigh_all(made: Sequence[Claim], source: Source, designs: Mapping[str, Design], terms: Terms) -> list[Comparison]:
    """Weigh every claim. Raises: Refused, naming the claim that cannot be tested."""
    shares = _holm_shares(made, source, terms)
    found = []
    for claim in made:
        share = shares[claim.suite] if claim.kind == "better" else 1.0
        is_complete = source.answered(claim.suite) >= designs[claim.suite].cases
        try:
            sample = source.of(claim)
            found.append(weigh(claim, sample, designs[claim.suite], terms, is_complete=is_complete, share=share))
        except Refused as error:
            place = "the target" if claim.suite in shares else f"guard {claim.suite}"
            told = f"{place} cannot be compared with the {title(claim.against)}: {error.what}"
            raise Refused(told, error.next_step) from error
    return found


def _checked(made: Sequence[Claim], source: Source, terms: Terms) -> dict[str, float]:
    """Run the controls on the claims against the champion."""
    checks = {}
    for claim in made:
        if claim.against == CHAMPION and claim.group is None and len(source.of(claim)):
            sample = source.of(claim)
            if claim.kind == "better":
                checks[f"a/a on {claim.suite}"] = controls.passed_null(sample, terms.alpha, terms.seed)
            else:
                checks[f"planted on {claim.suite}"] = controls.passed_planted(claim, sample, terms.alpha, terms.seed)
    return checks


def _holm_shares(made: Sequence[Claim], source: Source, terms: Terms) -> dict[str, float]:
    """Return the part of alpha that each target gets: 1/K for the clearest of K, 1/(K-1) for the next, while they pass.

    A target's p-value is the larger of its two, against champion and in-context arm: it needs both.
    """
    gains = [claim for claim in made if claim.kind == "better"]
    suites = list(dict.fromkeys(claim.suite for claim in gains))
    if len(suites) == 1:
        return {suites[0]: 1.0}
    try:
        worst = {
            suite: max(quick_p(source.of(claim), terms) for claim in gains if claim.suite == suite) for suite in suites
        }
    except Refused:
        return dict.fromkeys(suites, 1 / len(suites))  # the weighing will say what is wrong
    shares, left = {}, len(suites)
    for suite in sorted(suites, key=lambda name: worst[name]):
        shares[suite] = 1 / left
        if worst[suite] <= terms.alpha / 2 / left:  # alpha / 2: what the final test may have, see weigh
            left -= 1
    return shares


def _design(name: str, arms: Arms) -> Design:
    """Return the design of a suite of which nothing is known but its scores."""
    scores: Sequence[Score] = arms.get("challenger", ())
    groups: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for score in scores:
        sizes[score.cluster] = sizes.get(score.cluster, 0) + 1
        for group in score.groups:
            groups[group] = groups.get(group, 0) + 1
    return Design(name, len(scores), max(sizes.values(), default=1), len(sizes), tuple(sorted(groups.items())))


def _verdict(ruling: Ruling, names: Mapping[str, object], **fields: object) -> Verdict:
    named = [names[key] for key in ("cycle_id", "champion_id", "challenger_id", "attempt")]
    return Verdict.model_validate(
        {
            "id": f"{Verdict.prefix}_{content_hash(named)}",
            **names,
            "decision": ruling.decision,
            "reason": f"{ruling.decision.capitalize()}: {ruling.reason}.",
            "comparisons": (),
            "alpha_spent": 0.0,
            "unarmed": ruling.unarmed,
            "more_cases": ruling.more_cases,
            **fields,
        }
    )
