"""What was measured of an example before: kept by the hash of its content, so that nothing is measured twice.

In: a measure's name and the digests of contents. Out: the numbers that are kept. Must not know what a measure is. It
may always be deleted: what is lost is time.

Only numbers are kept, but an embedding says something of the words it was made of. So what is not looked at any more,
because it was erased or dropped, is deleted, and its bytes are overwritten.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

log = logging.getLogger("sharpen.curation")

_SCHEMA = "CREATE TABLE IF NOT EXISTS measured (measure TEXT, digest TEXT, value BLOB, PRIMARY KEY (measure, digest))"


class FeatureCache:
    """Vectors of numbers by measure and content, in one SQLite file. A file that fails is a file that has nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, measure: str, digests: Sequence[str]) -> dict[str, np.ndarray]:
        """Return what is kept of a measure, by digest."""
        wanted = set(digests)
        found: dict[str, np.ndarray] = {}
        with self._careful() as connection:
            if connection is not None:
                rows = connection.execute("SELECT digest, value FROM measured WHERE measure = ?", (measure,))
                found = {digest: np.frombuffer(value, "<f8") for digest, value in rows if digest in wanted}
        return found

    def put(self, measure: str, values: Mapping[str, np.ndarray]) -> None:
        """Keep values of a measure."""
        with self._careful() as connection:
            if connection is not None and values:
                rows = [(measure, digest, np.asarray(value, "<f8").tobytes()) for digest, value in values.items()]
                connection.executemany("INSERT OR REPLACE INTO measured VALUES (?, ?, ?)", rows)

    def keep_only(self, digests: Sequence[str]) -> int:
        """Delete all that is of other contents; return how much went."""
        deleted = 0
        with self._careful() as connection:
            if connection is not None:
                held = {digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM measured")}
                gone = [(digest,) for digest in held - set(digests)]
                deleted = connection.executemany("DELETE FROM measured WHERE digest = ?", gone).rowcount
        return max(0, deleted)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[sqlite3.Connection | None]:
        """Open the file for one use; what fails costs the entry, not the snapshot."""
        connection = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=10)
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            log.warning("The feature cache %s cannot be opened: %s", self._path, error)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                self._path.unlink(missing_ok=True)  # it is no database any more: the next use begins a new one
            if connection is not None:
                connection.close()
            connection = None
        try:
            yield connection
            if connection is not None:
                connection.commit()
        except sqlite3.Error as error:
            log.warning("The feature cache %s failed: %s", self._path, error)
        finally:
            if connection is not None:
                connection.close()
