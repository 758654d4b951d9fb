"""Labels as whole numbers: a million names are compared once, and everything after that is arithmetic.

In: labels. Out: the distinct ones and each row's place among them. Must not know what they mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np


def coded(labels: Iterable[Hashable]) -> tuple[list[Hashable], np.ndarray]:
    """Return the distinct labels in the order of their first row, and per row the place of its label.

    >>> names, index_N = coded(["b", "a", "b"])
    >>> names, index_N.tolist()
    (['b', 'a'], [0, 1, 0])
    """
    table: dict[Hashable, int] = {}
    index_N = np.fromiter((table.setdefault(label, len(table)) for label in labels), dtype=np.int64)
    return list(table), index_N


def cells(facets: Mapping[str, Sequence[str]], count: int) -> np.ndarray:
    """Return per row the number of its combination of facets; rows of no facet are all of one cell.

    Raises: ValueError when a facet has another number of rows.
    """
    cell_N = np.zeros(count, dtype=np.int64)
    for labels in facets.values():
        names, index_N = coded(labels)
        if len(index_N) != count:
            raise ValueError(f"a facet has {len(index_N)} rows of {count}")
        cell_N = np.unique(cell_N * len(names) + index_N, return_inverse=True)[1]
    return cell_N
