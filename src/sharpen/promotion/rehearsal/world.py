"""A world in which the truth is known: suites, versions of a true accuracy, and their answers.

In: designs, accuracies, a seed. Out: 0/1 answers per version, as a `Source` of samples. Must not know the gate's rule.

A case has luck that every version shares, and each version luck of its own; with chance `AGREEMENT` the shared one
counts. So two versions of one accuracy differ on about 15 % of the cases, as versions of one model do. In a clustered
suite a share of the cases takes its cluster's luck in place of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sharpen.promotion.claims import Claim, Design
from sharpen.promotion.samples import Sample
from sharpen.stats import Floats

AGREEMENT = 0.82  # chosen: at an accuracy of 0.65, 2 a (1 - a) (1 - 0.82²) = 15 % of the cases differ
TOGETHER = 0.5  # chosen: share of a cluster's cases that move as one; paired differences then correlate by about 0.25

Accuracy = Mapping[str, float | Floats]  # per suite, for all its cases or for each


@dataclass
class World:
    """Suites of made-up cases. Answers of a version are drawn once and kept, as a cache would keep them."""

    designs: Mapping[str, Design]
    rng: np.random.Generator
    shared: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.designs:
            self.shared[name] = self._luck(name)

    def answers(self, accuracy: Accuracy) -> dict[str, Floats]:
        """Return one version's answers, 1 right and 0 wrong, per suite."""
        return {name: self._answer(name, accuracy[name], slice(None)) for name in self.designs}

    def refresh(self, share: float, versions: Mapping[str, tuple[dict[str, Floats], Accuracy]]) -> None:
        """Draw a share of the clusters anew, and what the versions that stay answer there."""
        for name in self.designs:
            places = self.places(name)
            fresh = np.isin(places, np.flatnonzero(self.rng.random(int(places.max()) + 1) < share))
            self.shared[name] = np.where(fresh, self._luck(name), self.shared[name])
            for answers, accuracy in versions.values():
                again = self._answer(name, accuracy[name], slice(None))
                answers[name] = np.where(fresh, again, answers[name])

    def places(self, name: str) -> NDArray[np.int64]:
        """Return the cluster of each case."""
        design = self.designs[name]
        clusters = design.clusters or design.cases
        return np.arange(design.cases) * clusters // design.cases

    def groups(self, name: str) -> NDArray[np.int64]:
        """Return the group of each case, as a number; clusters of one group follow those of the next."""
        count = max(1, len(self.designs[name].groups))
        return self.places(name) % count

    def _answer(self, name: str, accuracy: float | Floats, rows: slice) -> Floats:
        own = self._luck(name)
        agrees = self.rng.random(len(own)) < AGREEMENT
        right: Floats = (np.where(agrees, self.shared[name], own) < accuracy).astype(np.float64)
        return right[rows]

    def _luck(self, name: str) -> Floats:
        design = self.designs[name]
        alone = self.rng.random(design.cases)
        if not design.clusters or design.clusters == design.cases:
            return alone
        common = self.rng.random(design.clusters)[self.places(name)]
        return np.where(self.rng.random(design.cases) < TOGETHER, common, alone)


class Rehearsed:
    """The samples of a world's arms, as far as they have been asked."""

    def __init__(self, world: World, arms: Mapping[str, Mapping[str, Floats]]) -> None:
        self._world, self._arms = world, arms
        self.asked = dict.fromkeys(world.designs, 0)
        self._groups = {name: world.groups(name) for name in world.designs}
        self._places = {
            name: world.places(name) if design.clusters and design.clusters < design.cases else None
            for name, design in world.designs.items()
        }

    def ask(self, suite: str, share: float) -> None:
        """Go on to a share of a suite's cases, whole clusters at a time."""
        design = self._world.designs[suite]
        wanted = np.ceil(share * design.cases) if design.is_looked_at else design.cases
        places = self._places[suite]
        if places is not None and wanted < design.cases:
            wanted = np.searchsorted(places, places[int(wanted)])
        self.asked[suite] = int(wanted)

    def answered(self, suite: str) -> int:
        """Return how many cases of a suite were asked."""
        return self.asked[suite]

    def of(self, claim: Claim) -> Sample:
        """Return a claim's paired cases."""
        end, places = self.asked[claim.suite], self._places[claim.suite]
        ours, theirs = (self._arms[arm][claim.suite][:end] for arm in ("challenger", claim.against))
        sample = Sample(ours, theirs, None if places is None else places[:end])
        if claim.group is None:
            return sample
        number = [name for name, _ in self._world.designs[claim.suite].groups].index(claim.group)
        return sample.part(np.flatnonzero(self._groups[claim.suite][:end] == number))
