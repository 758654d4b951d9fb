"""What feedback is worth: from who said what, when and in which words to a weight per record, with reasons.

In: records as columns. Out: `Integrity`: weights, flagged clusters, skew, loudness. Must not know the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sharpen.fairness.alike import clusters, sizes
from sharpen.fairness.brigades import Cluster, brigades
from sharpen.fairness.codes import coded
from sharpen.fairness.reliability import on_gold
from sharpen.fairness.skew import Loudness, Skew, loudness, skew
from sharpen.fairness.weights import TRUSTED, Weights, weigh

UNDECLARED = "undeclared"  # the value of whoever did not say, or did not consent; it keeps the share it has
_SAME_VOTE = 3  # signs, of three: that ratings without words agree on one item is no sign of anything


@dataclass(frozen=True, slots=True)
class Columns:
    """N records. `text` is empty where nobody wrote; `gold` is what a verifier says of the item, NaN: unknown."""

    source: Sequence[str]
    item: Sequence[str]
    label_N: np.ndarray  # 1: found good, 0: found bad
    time_N: np.ndarray  # seconds
    text: Sequence[str]
    gold_N: np.ndarray
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Integrity:
    """The weights, and what was found on the way."""

    weights: Weights
    cluster_N: np.ndarray
    clusters: dict[int, Cluster]  # those of five records or more, by their number in `cluster_N`
    skew: list[Skew]
    loudness: Loudness
    reliability: dict[str, float]  # of the sources that were asked something known

    def explain(self, row: int) -> list[str]:
        """Return in sentences why a record weighs what it weighs."""
        told = self.weights.explain(row)
        lines = [f"feedback weight {told.pop('weight'):.4g} (1 is the mean)"]
        lines += [f"  {name} x {factor:.4g}" for name, factor in told.items() if abs(factor - 1) > 1e-9]
        found = self.clusters.get(int(self.cluster_N[row]))
        if found is not None:
            lines.append(f"  {'brigade' if found.is_brigade else 'alike, no brigade'}: {found.reason}")
        return lines


def integrity(
    columns: Columns,
    targets: Mapping[str, Mapping[str, float]],
    *,
    vectors_ND: np.ndarray | None = None,
    same_meaning: float | None = None,
) -> Integrity:
    """Weigh records: raking x reliability x duplicates x source cap, untrusted sources bounded together.

    Raises: Refused when there are no records, or when targets and facets contradict.
    """
    names, source_N = coded(columns.source)
    known_N = ~np.isnan(columns.gold_N)
    agrees_N = known_N & ((columns.gold_N >= 0.5) == (columns.label_N == 1))
    count = len(names)
    asked_S = np.bincount(source_N, weights=known_N, minlength=count)
    trust_S = on_gold(np.bincount(source_N, weights=agrees_N, minlength=count), asked_S)
    trusted_N = trust_S[source_N] >= TRUSTED
    more = {} if same_meaning is None else {"same_meaning": same_meaning}
    cluster_N = clusters(columns.text, vectors_ND, **more)
    size_N = sizes(cluster_N)
    by_words = brigades(cluster_N, source_N, columns.label_N, columns.time_N, trusted_N)
    flagged_N = np.isin(cluster_N, [one.cluster for one in by_words if one.is_brigade])
    told = {one.cluster: one for one in by_words}
    # Ratings without words: the same vote on the same item.
    silent = np.flatnonzero(np.array([not text.strip() for text in columns.text], dtype=bool))
    if len(silent):
        _, item_M = coded([(columns.item[row], int(columns.label_N[row])) for row in silent.tolist()])
        vote_N = np.arange(len(source_N)) + count_of(item_M)
        vote_N[silent] = item_M
        by_vote = brigades(vote_N, source_N, columns.label_N, columns.time_N, trusted_N, signs=_SAME_VOTE)
        for one in (one for one in by_vote if one.is_brigade):
            rows = vote_N == one.cluster
            flagged_N |= rows
            size_N = np.where(rows, one.rows, size_N)
            cluster_N = np.where(rows, cluster_N.max() + 1, cluster_N)
            told[int(cluster_N.max())] = one
    wanted = {name: with_undeclared(columns.facets[name], target) for name, target in targets.items() if target}
    weights = weigh(
        columns.source,
        columns.facets,
        wanted,
        reliability=dict(zip(map(str, names), trust_S.tolist(), strict=True)),
        cluster_size_N=size_N,
        is_brigade_N=flagged_N,
    )
    return Integrity(
        weights,
        cluster_N,
        told,
        skew(columns.facets, wanted),
        loudness(columns.source),
        {str(names[at]): float(trust_S[at]) for at in np.flatnonzero(asked_S).tolist()},
    )


def count_of(index_M: np.ndarray) -> int:
    """Return how many numbers there are, from 0 to the largest."""
    return int(index_M.max()) + 1 if len(index_M) else 0


def with_undeclared(labels: Sequence[str], target: Mapping[str, float]) -> dict[str, float]:
    """Return the target's shares beside those who declared nothing: they keep the share that they have.

    >>> with_undeclared(["a", "b", "undeclared", "undeclared"], {"a": 1, "b": 3})
    {'a': 0.125, 'b': 0.375, 'undeclared': 0.5}
    """
    silent = sum(label == UNDECLARED for label in labels) / max(len(labels), 1)
    total = sum(target.values())
    shares = {name: share / total * (1 - silent) for name, share in target.items()} if total and silent < 1 else {}
    return shares | ({UNDECLARED: silent} if silent else {})
