"""The order of rows in batches: twins in one micro-batch, and neighbours whose answers differ.

In: which rows belong together, the batch's size. Out: an order, and a sampler. Must not know a model.

A gap between twins can only be measured where both are in one batch. KTO estimates its KL term from the answer of the
row before (TRL rotates answers by one inside each batch of the data set): twins share their answers, so twins side by
side would be given their own answer as the mismatched one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np


def packed(set_N: np.ndarray, batch: int, seed: int) -> list[int]:
    """Return a shuffled order in which no set crosses the end of a batch: never, where all sets are of one size that
    divides the batch; else as far as it can be had.

    `set_N` numbers each row's set, -1 for a row that stands alone.
    """
    random = np.random.default_rng(seed)
    by_set = np.argsort(set_N, kind="stable")
    by_set = by_set[np.count_nonzero(set_N < 0) :]
    sets = np.split(by_set, np.flatnonzero(np.diff(set_N[by_set])) + 1) if len(by_set) else []
    alone = random.permutation(np.flatnonzero(set_N < 0))
    # Single rows move in lots as large as a set, so that they leave no gap that only another single row could fill.
    lot = Counter(len(one) for one in sets).most_common(1)[0][0] if sets else 1
    lots = [alone[start : start + lot] for start in range(0, len(alone), lot)]
    last = [lots.pop()] if lots and len(lots[-1]) < lot else []
    units = [*sets, *lots]
    order: list[int] = []
    late: list[np.ndarray] = []
    for at in random.permutation(len(units)):
        waiting, late = [*late, units[at]], []
        for unit in waiting:
            # Nothing may ever fit (sets of two, an odd batch): then one is cut in two.
            if len(unit) <= batch - len(order) % batch or len(waiting) > batch:
                order += unit.tolist()
            else:
                late.append(unit)
    return order + [int(row) for unit in (*late, *last) for row in unit]


def apart(answers: Sequence[str]) -> list[int]:
    """Return an order of a batch in which, round the circle, neighbours differ wherever that is possible.

    The most frequent answers are laid out first, on every other place.
    """
    counts = Counter(answers)
    ranked = sorted(range(len(answers)), key=lambda row: (-counts[answers[row]], answers[row], row))
    places = [*range(0, len(ranked), 2), *range(1, len(ranked), 2)]
    order = [0] * len(ranked)
    for place, row in zip(places, ranked, strict=True):
        order[place] = row
    return order


def rotated_order(set_N: np.ndarray, answers: Sequence[str], batch: int, seed: int) -> tuple[list[int], float]:
    """Return an order for TRL's rotation, and the share of rows whose neighbour still has the same answer."""
    order = packed(set_N, batch, seed)
    done: list[int] = []
    same = 0
    for start in range(0, len(order), batch):
        block = order[start : start + batch]
        block = [block[place] for place in apart([answers[row] for row in block])]
        same += sum(answers[row] == answers[block[place - 1]] for place, row in enumerate(block))
        done += block
    return done, same / len(done)


class TwinSampler:
    """Rows in packed order, another one each epoch; what a DataLoader wants of a sampler, and no more."""

    def __init__(self, set_N: np.ndarray, batch: int, seed: int) -> None:
        self._set_N, self._batch, self._seed = set_N, batch, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; Accelerate calls it, also when a run goes on in the middle."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(packed(self._set_N, self._batch, self._seed + 7919 * self._epoch))

    def __len__(self) -> int:
        return len(self._set_N)
