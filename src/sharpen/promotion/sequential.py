"""Evaluation in parts: how far to go before the next look, which cases come first, what is still worth asking.

In: designs, a suite, the scores so far. Out: shares, the front part of a suite, suites. Must not decide.

Cases come in the order of their clusters' hashes, whole clusters at a time: the order knows nothing of the answers, and
the decision reads them in the same order. Suites below 400 gate cases are evaluated whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sharpen.errors import Refused
from sharpen.promotion.claims import Claim, Design
from sharpen.promotion.samples import Source, rank
from sharpen.promotion.weigh import Terms, look, weigh
from sharpen.records import Case
from sharpen.verify.suites import Suite

LOOKS = 8  # chosen: more looks save little; an eighth of 400 cases is what an engine answers in one batch


def looks(designs: Iterable[Design]) -> tuple[float, ...]:
    """Return the shares of the cases after which to look, the last one all."""
    return tuple((1 + look) / LOOKS for look in range(LOOKS)) if any(one.is_looked_at for one in designs) else (1.0,)


def front(suite: Suite, tier: str, share: float) -> Suite:
    """Return the suite with the first `share` of a tier's cases; all of them where it is not looked at on the way."""
    cases = suite.tier(tier)
    if not Design(suite.name, len(cases)).is_looked_at:
        return suite
    clusters: dict[str, list[Case]] = {}
    for case in cases:
        clusters.setdefault(case.cluster, []).append(case)
    chosen: list[Case] = []
    for name in sorted(clusters, key=rank):
        if len(chosen) >= share * len(cases):
            break
        chosen += sorted(clusters[name], key=lambda case: case.id)
    return replace(suite, cases=tuple(chosen))


def stand(
    made: Sequence[Claim], source: Source, designs: Mapping[str, Design], terms: Terms, *, allow_unarmed: bool = False
) -> frozenset[str]:
    """Return the suites that are still worth evaluating; none when every claim is shown, or one cannot be any more.

    Looking is free: what is shown on the way is shown by the e-process, at its own half of alpha. Stopping for want of
    hope costs power, not alpha: who stops does not promote.
    """
    aims = {claim.suite for claim in made if claim.kind == "better"}
    waiting = set()
    for claim in made:
        design = designs[claim.suite]
        is_gain = claim.kind == "better"
        share = 1 / len(aims) if is_gain else 1.0
        is_complete = source.answered(claim.suite) >= design.cases
        try:
            sample = source.of(claim)
            if is_complete:
                state = weigh(claim, sample, design, terms, share=share).state
            else:
                state = look(claim, sample, design, terms, share=share)
        except Refused:
            return frozenset()  # the decision will say why
        if state == "passed" or (state == "unarmed" and allow_unarmed) or (is_gain and len(aims) > 1 and is_complete):
            continue
        if is_complete or state == "futile":
            return frozenset()
        waiting.add(claim.suite)
    return frozenset(waiting)
