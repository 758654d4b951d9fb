"""Which clusters of feedback are coordinated: many sources, one opinion, at once, hardly any of them known.

In: per row its cluster, source, label, time and whether the source is trusted. Out: the clusters with their figures,
and those that are flagged. Must not know how rows were put in clusters.

People who agree are no brigade: no single sign is enough. Time is counted in rows, not in hours, so that a busy day is
no burst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

SMALLEST = 5  # chosen: rows
FEWEST = 3  # chosen: sources; one source that repeats itself is held by the source cap
UNANIMOUS = 0.95  # chosen
NEWCOMERS = 0.5  # chosen: share of rows of sources that nothing is known of
BURST = 1e-3  # chosen: p-value
SIGNS = 2  # of three: a burst, unanimity, newcomers


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of feedback and what speaks for coordination."""

    cluster: int
    rows: int
    sources: int
    unanimity: float  # share of the most frequent label
    newcomers: float  # share of rows whose source is not trusted
    burst_p: float  # chance that half of so many rows come so close together
    is_brigade: bool

    @property
    def reason(self) -> str:
        """What speaks for coordination, in a sentence."""
        return (
            f"{self.rows} alike records of {self.sources} sources, {self.unanimity:.0%} of one opinion, "
            f"{self.newcomers:.0%} from newcomers, burst p = {self.burst_p:.1g}"
        )


def brigades(
    cluster_N: np.ndarray,
    source_N: np.ndarray,
    label_N: np.ndarray,
    time_N: np.ndarray,
    trusted_N: np.ndarray,
    *,
    signs: int = SIGNS,
) -> list[Cluster]:
    """Return every cluster of SMALLEST rows or more, flagged where `signs` of three speak for coordination.

    `label_N` holds whole numbers, `time_N` seconds (any origin).
    """
    order_N = np.argsort(cluster_N, kind="stable")
    name_C, start_C, size_C = np.unique(cluster_N[order_N], return_index=True, return_counts=True)
    # Mid-ranks: rows of one second came at one time.
    _, inverse_N, counts = np.unique(time_N, return_inverse=True, return_counts=True)
    when_N = ((np.cumsum(counts) - (counts - 1) / 2) / len(time_N))[inverse_N]
    found = []
    for at in np.flatnonzero(size_C >= SMALLEST).tolist():
        rows = order_N[start_C[at] : start_C[at] + size_C[at]]
        sources = len(np.unique(source_N[rows]))
        unanimity = float(np.unique(label_N[rows], return_counts=True)[1].max() / len(rows))
        newcomers = float((~trusted_N[rows]).mean())
        burst_p = _burst(np.sort(when_N[rows]), 1 / len(time_N))
        count = int(burst_p < BURST) + int(unanimity >= UNANIMOUS) + int(newcomers >= NEWCOMERS)
        is_brigade = sources >= FEWEST and count >= signs
        found.append(Cluster(int(name_C[at]), len(rows), sources, unanimity, newcomers, burst_p, is_brigade))
    return found


def _burst(when_M: np.ndarray, step: float) -> float:
    """Return a bound on the chance that half of the rows lie as close together as they do, if they came at random.

    Some window that begins at a row holds m of c rows with probability c P(Binomial(c - 1, width) >= m - 1) at most.
    """
    count = len(when_M)
    half = (count + 1) // 2
    width = float((when_M[half - 1 :] - when_M[: count - half + 1]).min()) + step
    return float(min(1.0, count * binom.sf(half - 2, count - 1, min(width, 1.0))))
