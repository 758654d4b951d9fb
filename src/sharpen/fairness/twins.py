"""Counterfactual twins: prompts that differ in a protected attribute alone, with the same answers.

In: rows with a twin set's name. Out: contrasts, each a signed sum of rows that ought to be 0. Must not know a model.

Answers are oriented by what they say, not by who was chosen: where twins carry opposite labels (the very bias to be
caught), chosen minus rejected has opposite signs for the two, and a penalty on their difference would teach the bias.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sharpen.errors import Refused


@dataclass(frozen=True, slots=True)
class Contrasts:
    """P sums over at most four rows each: `sum(sign_PK * value[row_PK])` is a twin gap; a sign of 0 pads."""

    row_PK: np.ndarray
    sign_PK: np.ndarray
    is_drift_P: np.ndarray  # only drift from the reference can be compared: one answer per prompt, so log Z stays
    set_N: np.ndarray  # the number of each row's twin set, -1 for none
    missing: int  # sets with one prompt alone
    conflicts: int  # sets whose labels differ: twins were answered differently
    sets: int  # whole sets


@dataclass(frozen=True, slots=True)
class Rated:
    """One answer to one prompt, and whether it was found good."""

    prompt: str
    answer: str
    good: bool
    twin: str | None


def pair_contrasts(chosen: Sequence[str], rejected: Sequence[str], twins: Sequence[str | None]) -> Contrasts:
    """Contrast preference pairs: a row's value is log p(chosen) - log p(rejected).

    Raises: Refused when no set is whole, or when twins were not given the same two answers: texts of different lengths
    have log-probabilities that cannot be compared.
    """
    rows, signs, conflicts, whole = [], [], 0, 0
    members, set_N = _sets(twins)
    for name, inside in members.items():
        if len(inside) < 2:
            continue
        whole += 1
        first = {chosen[inside[0]], rejected[inside[0]]}
        if any({chosen[row], rejected[row]} != first for row in inside):
            raise Refused(
                f"The twins of set '{name}' have different answers to choose from.",
                "give every twin the same two answers, none of which names the attribute",
            )
        side = {row: 1.0 if chosen[row] == chosen[inside[0]] else -1.0 for row in inside}
        conflicts += len(set(side.values())) > 1
        for one, other in combinations(inside, 2):
            rows.append((one, other, 0, 0))
            signs.append((side[one], -side[other], 0.0, 0.0))
    return _contrasts(
        rows=rows,
        signs=signs,
        drift=[False] * len(rows),
        set_N=set_N,
        members=members,
        conflicts=conflicts,
        whole=whole,
    )


def rated_contrasts(items: Sequence[Rated]) -> Contrasts:
    """Contrast single rated answers: margins where twin prompts share two answers, drift where they share one.

    With one answer per prompt the reward's log Z(x) does not cancel, so only change from the reference is comparable.
    Raises: Refused when no set has an answer under two prompts.
    """
    rows, signs, drift = [], [], []
    conflicts = whole = 0
    members, set_N = _sets([item.twin for item in items])
    for inside in members.values():
        by_prompt: dict[str, dict[str, int]] = defaultdict(dict)
        for row in inside:
            by_prompt[items[row].prompt].setdefault(items[row].answer, row)
        found = conflict = False
        for one, other in combinations(by_prompt.values(), 2):
            shared = sorted(one.keys() & other.keys())
            found |= bool(shared)
            conflict |= any(items[one[answer]].good != items[other[answer]].good for answer in shared)
            if len(shared) >= 2:
                first, second = shared[:2]
                rows.append((one[first], one[second], other[first], other[second]))
                signs.append((1.0, -1.0, -1.0, 1.0))
                drift.append(False)
            elif shared:
                rows.append((one[shared[0]], other[shared[0]], 0, 0))
                signs.append((1.0, -1.0, 0.0, 0.0))
                drift.append(True)
        whole += found
        conflicts += conflict
    return _contrasts(
        rows=rows, signs=signs, drift=drift, set_N=set_N, members=members, conflicts=conflicts, whole=whole
    )


def agreed(signs: Sequence[float], weights: Sequence[float]) -> float:
    """Return which side a twin set takes together, +1 or -1, or 0 where neither has the greater weight."""
    return float(np.sign(np.dot(signs, weights)))


def _sets(twins: Sequence[str | None]) -> tuple[dict[str, list[int]], np.ndarray]:
    members: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(twins):
        if name is not None:
            members[name].append(row)
    number = {name: position for position, name in enumerate(members)}
    return members, np.array([-1 if name is None else number[name] for name in twins], dtype=np.int64)


def _contrasts(
    *,
    rows: list[tuple[int, int, int, int]],
    signs: list[tuple[float, float, float, float]],
    drift: list[bool],
    set_N: np.ndarray,
    members: dict[str, list[int]],
    conflicts: int,
    whole: int,
) -> Contrasts:
    if not rows:
        told = f"{len(members)} twin set(s) have one prompt each" if members else "no row names a twin set"
        raise Refused(
            f"The twin constraint has nothing to compare: {told}.",
            "add twins (the same question with the attribute swapped), or set [fairness] twins = false",
        )
    return Contrasts(
        np.array(rows, dtype=np.int64),
        np.array(signs),
        np.array(drift, dtype=bool),
        set_N,
        missing=len(members) - whole,
        conflicts=conflicts,
        sets=whole,
    )
