"""Raking: weights that give every facet of the data its target shares at once, and what they cost.

In: each row's category per facet, and targets. Out: weights of mean 1, effective sample sizes. Must not know what the
facets mean.

Sources: iterative proportional fitting, Deming and Stephan 1940; effective sample size and design effect, Kish 1965.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sharpen.errors import Refused

ROUNDS = 500  # chosen: margins that fit converge within tens; after this they contradict each other
TOLERANCE = 1e-8


def rake(
    facets: Mapping[str, Sequence[str]], targets: Mapping[str, Mapping[str, float]], start_N: np.ndarray | None = None
) -> np.ndarray:
    """Scale `start_N` (1 each, if left out) until each facet has its target shares; returns weights of mean 1.

    `facets` holds a category per row under each facet's name; facets without a target are left as they are.
    Raises: Refused when a target category has no rows or a category no target, or when the targets contradict.
    """
    names = [name for name in facets if targets.get(name)]
    count = len(next(iter(facets.values()))) if facets else 0
    weight_N = np.ones(count) if start_N is None else np.asarray(start_N, dtype=float).copy()
    if not count or not weight_N.sum() > 0:
        raise Refused("There is nothing to weigh: no row has a weight.", "sharpen curate")
    index, share = {}, {}
    for name in names:
        index[name], share[name] = _margin(name, facets[name], targets[name], weight_N)
    for _ in range(ROUNDS):
        for name in names:
            found_C = np.bincount(index[name], weights=weight_N, minlength=len(share[name])) / weight_N.sum()
            weight_N *= (share[name] / found_C)[index[name]]
        if all(_error(index[name], share[name], weight_N) < TOLERANCE for name in names):
            return np.asarray(weight_N / weight_N.mean())
    worst = max(names, key=lambda name: _error(index[name], share[name], weight_N))
    raise Refused(
        f"The targets cannot all be met: after {ROUNDS} rounds facet '{worst}' still misses its shares.",
        "merge rare categories, or drop a facet",
    )


def _margin(
    name: str, labels: Sequence[str], target: Mapping[str, float], weight_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    known = sorted(target)
    if unknown := sorted(set(labels) - set(known)):
        raise Refused(f"Facet '{name}' has rows of '{unknown[0]}', which its target does not name.", "add it, or merge")
    place = {label: at for at, label in enumerate(known)}
    index_N = np.fromiter((place[label] for label in labels), dtype=np.int64, count=len(labels))
    mass_C = np.bincount(index_N, weights=weight_N, minlength=len(known))
    share_C = np.array([target[label] for label in known], dtype=float)
    if not (np.isfinite(share_C).all() and (share_C > 0).all()):
        raise Refused(f"The target of facet '{name}' is not made of positive numbers.", "edit the target")
    if empty := [label for label, mass in zip(known, mass_C, strict=True) if mass <= 0]:
        raise Refused(f"The target of facet '{name}' names '{empty[0]}', of which there is no row.", "collect some")
    return index_N, share_C / share_C.sum()


def _error(index_N: np.ndarray, share_C: np.ndarray, weight_N: np.ndarray) -> float:
    found_C = np.bincount(index_N, weights=weight_N, minlength=len(share_C)) / weight_N.sum()
    return float(np.abs(found_C - share_C).max())


def effective_size(weight_N: np.ndarray) -> float:
    """Return Kish's effective number of rows, (sum w)^2 / sum w^2."""
    return float(weight_N.sum() ** 2 / np.square(weight_N).sum())


def design_effect(weight_N: np.ndarray) -> float:
    """Return by how much the weights inflate the variance of a mean: n / effective size = 1 + CV^2."""
    return len(weight_N) / effective_size(weight_N)


def trimmed(weight_N: np.ndarray, cap: float) -> np.ndarray:
    """Cut weights at `cap` times their median until none is above it; the mean stays 1. Zeros do not count."""
    weight_N = np.asarray(weight_N / weight_N.mean(), dtype=float)
    for _ in range(100):  # each round lowers the largest; in practice a few are enough
        limit = cap * float(np.median(weight_N[weight_N > 0]))
        if weight_N.max() <= limit * (1 + 1e-9):
            break
        weight_N = np.minimum(weight_N, limit)
        weight_N /= weight_N.mean()
    return weight_N
