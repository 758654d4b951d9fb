"""Vectors that were computed before, kept in one SQLite file.

In: content hashes and vectors. Out: the vectors that are known. Must not know what a hash stands for.

It is a cache: deleting the file costs time and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sharpen.errors import StoreError

_ASKED_AT_ONCE = 10_000  # chosen: keys per query; SQLite takes 32,766 variables


class EmbeddingCache:
    """A file of vectors by content hash; any number of processes may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, keys: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors that are known. Raises: StoreError."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, list[float]] = {}
        with self._open() as connection:
            for start in range(0, len(wanted), _ASKED_AT_ONCE):
                some = wanted[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)  # noqa: S608 - only question marks are put in
                found |= {key: np.frombuffer(vector, dtype="<f4").tolist() for key, vector in rows}
        return found

    def put(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors. Raises: StoreError."""
        rows = [(key, np.asarray(vector, dtype="<f4").tobytes()) for key, vector in vectors.items()]
        with self._open() as connection:
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=30)
            try:
                with connection:  # one transaction
                    connection.execute(
                        "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL)"
                    )
                    yield connection
            finally:
                connection.close()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"The cache of embeddings {self._path} failed: {error}", "delete that file: it is only a cache"
            ) from error
