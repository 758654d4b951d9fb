"""The cases that a claim is tested on: pairs of scores, in the order of evaluation.

In: scores per suite and arm. Out: `Sample`. Must not know tests or decisions.

The order is that of the clusters' hashes, whole clusters at a time, so that it knows nothing of the answers; an
evaluation that goes in parts asks in the same order (`sequential.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import Refused
from sharpen.promotion.claims import CHALLENGER, FLOOR, Arms, Claim, title
from sharpen.stats import Floats
from sharpen.verify.pairing import pair


@dataclass(frozen=True)
class Sample:
    """Paired values in the order of evaluation, and the number of each one's cluster; None: every case stands alone."""

    ours: Floats
    theirs: Floats
    places: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ours)

    @cached_property
    def by_cluster(self) -> tuple[Floats, Floats]:
        """Each cluster's summed difference and its size, in the order of evaluation."""
        differences = self.ours - self.theirs
        if self.places is None:
            return differences, np.ones(len(differences))
        sums: Floats = np.bincount(self.places, differences).astype(np.float64)
        sizes: Floats = np.bincount(self.places).astype(np.float64)
        return sums[sizes > 0], sizes[sizes > 0]

    @property
    def clusters(self) -> list[int] | None:
        """The cluster of each case, as the statistics take it."""
        return None if self.places is None else self.places.tolist()

    def part(self, rows: NDArray[np.int64] | slice) -> Sample:
        """Return some of its cases, in their order."""
        return Sample(self.ours[rows], self.theirs[rows], None if self.places is None else self.places[rows])


class Source(Protocol):
    """Where the samples of claims come from."""

    def answered(self, suite: str) -> int:
        """Return how many of a suite's cases the challenger was asked, scored or not."""

    def of(self, claim: Claim) -> Sample:
        """Return a claim's paired cases. Raises: Refused when an arm is missing or too much of it is unscored."""


class Samples:
    """Samples of recorded scores: pairs of arms, made once each, and cut by group."""

    def __init__(self, suites: Mapping[str, Arms]) -> None:
        self._suites = suites
        self._pairs: dict[tuple[str, str], tuple[Sample, dict[str, list[int]]]] = {}

    def answered(self, suite: str) -> int:
        """Return how many of a suite's cases the challenger was asked, scored or not."""
        return len(self._suites[suite].get(CHALLENGER, ()))

    def of(self, claim: Claim) -> Sample:
        """Return a claim's paired cases. Raises: Refused when an arm is missing or too much of it is unscored."""
        key = (claim.suite, claim.against)
        if key not in self._pairs:
            self._pairs[key] = self._paired(*key)
        sample, groups = self._pairs[key]
        if claim.kind == "floor":
            return Sample(sample.ours, np.full(len(sample), claim.boundary), sample.places)
        return sample if claim.group is None else sample.part(np.array(groups.get(claim.group, []), dtype=np.int64))

    def _paired(self, suite: str, against: str) -> tuple[Sample, dict[str, list[int]]]:
        arms = self._suites[suite]
        other = CHALLENGER if against == FLOOR else against
        for arm in (CHALLENGER, other):
            if not arms.get(arm):
                raise Refused(f"there are no scores of the {title(arm)}")
        pairs = pair(arms[CHALLENGER], arms[other])
        theirs = {score.case_id for score in arms[other] if score.value is not None}
        kept = [one for one in arms[CHALLENGER] if one.value is not None and one.case_id in theirs]
        kept.sort(key=lambda score: score.case_id)  # the order of `pair`
        ranks = {cluster: rank(cluster) for cluster in set(pairs.clusters)}
        order = sorted(range(len(kept)), key=lambda row: (ranks[pairs.clusters[row]], kept[row].case_id))
        groups: dict[str, list[int]] = {}
        for place, row in enumerate(order):
            for group in kept[row].groups:
                groups.setdefault(group, []).append(place)
        names = [pairs.clusters[row] for row in order]
        return Sample(pairs.first[order], pairs.second[order], _places(names)), groups


def rank(cluster: str) -> str:
    """Return where a cluster stands in the order of evaluation."""
    return hashlib.blake2b(cluster.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _places(names: Sequence[str]) -> NDArray[np.int64] | None:
    numbers: dict[str, int] = {}
    places = [numbers.setdefault(name, len(numbers)) for name in names]
    return None if len(numbers) == len(names) else np.array(places, dtype=np.int64)
