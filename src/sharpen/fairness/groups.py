"""Groups of rows: small ones are merged, shares are observed, targets are what they ought to be.

In: a label per row, or None where nobody declared one. Out: `Groups`. Must not know what the shares are used for.

A label may be a path, `africa/kenya`: a group that is too small joins its parent, and at the top `others`. Shares of a
handful of rows are noise, and naming them would name people.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.errors import Refused

OTHERS = "others"  # where small groups without a parent go
UNDECLARED = "undeclared"  # rows of whoever declared no group: they are kept, at the share they have


@dataclass(frozen=True, slots=True)
class Groups:
    """Which row is in which group, and how much of the data each group has and ought to have."""

    names: tuple[str, ...]
    index_N: np.ndarray  # row -> position in `names`
    observed_G: np.ndarray  # share of the rows
    target_G: np.ndarray  # share it ought to have
    merged: Mapping[str, str]  # small group -> the group its rows are counted in


def group_rows(labels: Sequence[str | None], target: Mapping[str, float] | None = None, *, min_rows: int = 1) -> Groups:
    """Put rows in groups of at least `min_rows`; without a `target`, declared groups ought to have equal shares.

    Raises: Refused when there are no rows or fewer than two groups; when the target is not made of positive numbers,
    names a group without rows, or leaves out one that has some.
    """
    counts = Counter(UNDECLARED if label is None else label for label in labels)
    declared = [name for name in counts if name != UNDECLARED]
    if target:
        _check_target(target, declared)
    wanted = dict(target) if target else dict.fromkeys(declared, 1.0)
    merged = _merge(counts, min_rows)
    names = tuple(sorted({merged.get(name, name) for name in counts}))
    if len([name for name in names if name != UNDECLARED]) < 2:
        small = f", after those with fewer than {min_rows} rows were merged" if merged else ""
        raise Refused(
            f"Group weights need rows of two groups or more; there are {len(names)} ({', '.join(names)}){small}.",
            "record groups with the sources, lower [fairness] min_group, or set [fairness] groups = false",
        )
    index_N = np.array([names.index(merged.get(name, name)) for name in (label or UNDECLARED for label in labels)])
    observed_G = np.bincount(index_N, minlength=len(names)) / len(labels)
    target_G = np.zeros(len(names))
    for name, share in wanted.items():
        target_G[names.index(merged.get(name, name))] += share
    if not target:  # equal shares of what is left after merging, or `others` would count once for each that joined it
        target_G = np.where(target_G > 0, 1.0, 0.0)
    silent_G = np.array([name == UNDECLARED for name in names])
    kept = float(observed_G[silent_G].sum())
    target_G = np.where(silent_G, observed_G, target_G / target_G[~silent_G].sum() * (1 - kept))
    return Groups(names, index_N, observed_G, target_G, merged)


def _check_target(target: Mapping[str, float], declared: Sequence[str]) -> None:
    if odd := [name for name, share in target.items() if not (math.isfinite(share) and share > 0)]:
        raise Refused(f"The target share of group '{odd[0]}' is not a positive number.", "edit [fairness] target")
    if empty := sorted(set(target) - set(declared)):
        raise Refused(
            f"[fairness] target names {len(empty)} group(s) without a single row: {', '.join(empty)}. "
            "No weight makes up for rows that are not there.",
            "collect rows from them, or take them out of the target",
        )
    if unknown := sorted(set(declared) - set(target)):
        raise Refused(
            f"Rows are of {len(unknown)} group(s) that [fairness] target does not name: {', '.join(unknown)}.",
            "add them to the target, or remove the target for equal shares",
        )


def _merge(counts: Mapping[str, int], min_rows: int) -> dict[str, str]:
    """Return where the rows of small groups are counted: the parent, or `others`."""
    place = {name: name for name in counts}

    def size(name: str) -> int:
        return sum(counts[label] for label, at in place.items() if at == name)

    while True:
        small = [name for name in sorted(set(place.values())) if name not in (OTHERS, UNDECLARED)]
        small = [name for name in small if size(name) < min_rows]
        if not small:
            break
        deepest = max(small, key=lambda name: name.count("/"))
        parent = deepest.rpartition("/")[0] or OTHERS
        place = {label: parent if at == deepest else at for label, at in place.items()}
    left = [name for name in set(place.values()) if name not in (OTHERS, UNDECLARED)]
    if OTHERS in place.values() and size(OTHERS) < min_rows and left:
        # Too few even together: they stand with the smallest group that is large enough.
        host = min(sorted(left), key=size)
        place = {label: host if at == OTHERS else at for label, at in place.items()}
    return {label: at for label, at in place.items() if at != label}
