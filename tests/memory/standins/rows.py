"""Rows with vectors, compared one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    vector: np.ndarray
    properties: dict[str, Any]


class Rows:
    """The rows of one collection."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def put(self, row_id: str, vector: Any, properties: dict[str, Any]) -> None:
        self.rows[row_id] = Row(np.asarray(vector, dtype=np.float32), properties)

    def nearest(
        self, vector: Any, k: int, matches: Callable[[dict[str, Any]], bool]
    ) -> list[tuple[str, float, dict[str, Any]]]:
        """Return (id, cosine, properties) of the closest rows that match."""
        ids = [row_id for row_id, row in self.rows.items() if matches(row.properties)]
        if not ids:
            return []
        matrix = np.stack([self.rows[row_id].vector for row_id in ids])
        asked = np.asarray(vector, dtype=np.float32)
        norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(asked)
        cosines = matrix @ asked / np.where(norms == 0, 1, norms)
        best = np.argsort(-cosines, kind="stable")[:k]
        return [(ids[place], float(cosines[place]), self.rows[ids[place]].properties) for place in best]
