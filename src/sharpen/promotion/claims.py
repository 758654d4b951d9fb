"""What a challenger has to show: one claim per suite, opponent and group.

In: what the suites hold, the settings. Out: claims. Must not know scores or statistics.

`target` suites: better than the champion and than the in-context arm, and no worse than the first version. `guards`:
no worse than the champion *and* than the first version, so that small losses do not add up unseen. Every group that
a suite's cases name is a guard of its own against both. A floor is an absolute cap on a suite's mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sharpen.config import PromotionSection
from sharpen.records import Case, Score

CHALLENGER, CHAMPION, IN_CONTEXT, FIRST, FLOOR = "challenger", "champion", "in_context", "first", "floor"
Arms = Mapping[str, Sequence[Score]]


@dataclass(frozen=True)
class Claim:
    """That challenger minus `against` exceeds `boundary`, on a suite or on one group of its cases."""

    kind: Literal["better", "not_worse", "floor"]
    suite: str
    against: str
    boundary: float
    group: str | None = None
    hoped: float = 0.0  # the effect that plan and forecast count on: the declared gain on a target, none on a guard

    @property
    def null(self) -> float:
        """The difference that has to be exceeded; from a floor the difference is taken."""
        return 0.0 if self.kind == "floor" else self.boundary


@dataclass(frozen=True)
class Design:
    """What a suite's gate tier holds, known before anything is answered: its cases, its clusters, its groups."""

    suite: str
    cases: int
    largest: int = 1  # cases of the largest cluster
    clusters: int = 0  # 0: every case stands alone
    groups: tuple[tuple[str, int], ...] = ()  # cases of each group

    is_whole: bool = False  # evaluated in one go, however long

    @property
    def is_looked_at(self) -> bool:
        """Whether it is evaluated in parts, with a look after each: a long suite is."""
        return self.cases >= LOOKED_AT and not self.is_whole

    @property
    def size(self) -> float:
        """Cases per cluster."""
        return self.cases / self.clusters if self.clusters else 1.0

    def of(self, group: str | None) -> int:
        """Return the planned cases of a group, or of all."""
        return self.cases if group is None else dict(self.groups).get(group, 0)


LOOKED_AT = 400  # chosen: below it a look saves less than the alpha that it costs


def design(suite: str, cases: Iterable[Case]) -> Design:
    """Return the design of a suite's gate cases."""
    sizes: dict[str, int] = {}
    groups: dict[str, int] = {}
    count = 0
    for case in cases:
        count += 1
        sizes[case.cluster] = sizes.get(case.cluster, 0) + 1
        for group in case.groups:
            groups[group] = groups.get(group, 0) + 1
    return Design(suite, count, max(sizes.values(), default=1), len(sizes), tuple(sorted(groups.items())))


def claims(designs: Sequence[Design], targets: Iterable[str], settings: PromotionSection, first: bool) -> list[Claim]:
    """Return every claim, the targets' first; `first` tells whether the first version is another than the champion."""
    aims = set(targets)
    opponents = [CHAMPION, FIRST] if first else [CHAMPION]
    made: list[Claim] = []
    for one in designs:
        if one.suite in aims:
            made.append(Claim("better", one.suite, CHAMPION, settings.min_effect, hoped=settings.effect))
            made.append(Claim("better", one.suite, IN_CONTEXT, 0.0, hoped=settings.effect))
    for one in designs:
        hoped = settings.effect if one.suite in aims else 0.0
        margin = settings.margins.get(one.suite, settings.guard_margin)
        for against in opponents:
            if one.suite not in aims or against == FIRST or len(aims) > 1:
                made.append(Claim("not_worse", one.suite, against, -margin, hoped=hoped))
            groups = [] if len(one.groups) == 1 and one.groups[0][1] == one.cases else one.groups
            made += [
                Claim("not_worse", one.suite, against, -max(margin, settings.group_margin), group, hoped)
                for group, _ in groups
            ]
        if one.suite in settings.floors:
            made.append(Claim("floor", one.suite, FLOOR, settings.floors[one.suite], hoped=settings.effect))
    return made


def title(arm: str) -> str:
    """Return an arm's name as words."""
    return {IN_CONTEXT: "in-context arm", FIRST: "first version"}.get(arm, arm)
