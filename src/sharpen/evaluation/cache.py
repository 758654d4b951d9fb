"""What a version answered before: kept on disk, so that nothing is computed twice within a cycle or across cycles.

In: the hash of what determines an answer (version, weights, template, prompt, sampling, seed). Out: the answer, or
nothing. Must not know suites or scores. It may always be deleted: what is lost is time.

An entry is named by the hash of everything that determines it, and holds the answer, never the prompt. Where people's
words stood in the prompt (the in-context arm's examples), the entry lists the digests of these examples, and lives only
as long as each can still be read in the store: `sweep` deletes it after an erasure, and overwrites its bytes. The file
is bounded: what was not used for longest goes first. A cache that fails is a cache that has nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.memory.recall import Pair
from sharpen.records import Example, content_hash
from sharpen.store import ERASED, Store

log = logging.getLogger("sharpen.evaluation")

Answer = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
  name TEXT PRIMARY KEY, body TEXT NOT NULL, bytes INTEGER NOT NULL, used_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS origin (
  name TEXT NOT NULL REFERENCES answer (name) ON DELETE CASCADE, example TEXT NOT NULL, PRIMARY KEY (name, example)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_use ON answer (used_at, bytes);
"""
_ASKED_AT_ONCE = 500  # chosen: below SQLite's oldest limit of 999 variables
_ROW_BYTES = 128  # chosen: about what a row takes beside its body: name, index, page overhead


class GenerationCache:
    """Answers by name, in one SQLite file of about `limit_bytes` at most; 0 keeps nothing. Threads may share it."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._one_caller = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if limit_bytes:
            with self._careful():
                self._connection = self._open()

    def get(self, names: Sequence[str]) -> dict[str, Answer]:
        """Return the answers that are kept, by name, and note that they were used."""
        found: dict[str, Answer] = {}
        with self._careful() as connection:
            if connection is None:
                return {}
            for start in range(0, len(names), _ASKED_AT_ONCE):
                some = names[start : start + _ASKED_AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT name, body FROM answer WHERE name IN ({marks})", some)  # noqa: S608 - marks
                found |= {name: json.loads(body) for name, body in rows}
                connection.execute(
                    f"UPDATE answer SET used_at = ? WHERE name IN ({marks})",  # noqa: S608 - marks
                    (time.time(), *some),
                )
            connection.commit()
        return found

    def put(self, answers: Mapping[str, Answer], origins: Mapping[str, Iterable[str]]) -> None:
        """Keep answers; `origins` holds, per name, the digests of the examples in its prompt."""
        with self._careful() as connection:
            if connection is None or not answers:
                return
            bodies = {name: json.dumps(body) for name, body in answers.items()}
            now = time.time()
            connection.executemany(
                "INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?)",
                [(name, body, len(body) + _ROW_BYTES, now) for name, body in bodies.items()],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO origin VALUES (?, ?)",
                [(name, example) for name in bodies for example in origins.get(name, ())],
            )
            self._shrink(connection)
            connection.commit()

    def sweep(self, store: Store) -> int:
        """Delete every answer whose examples cannot all be read in the store any more; return how many went."""
        deleted = 0
        with self._careful() as connection:
            if connection is None:
                return 0
            wanted = {example for (example,) in connection.execute("SELECT DISTINCT example FROM origin")}
            if not wanted:
                return 0
            readable = {
                example_digest(Pair(example.messages, str(example.chosen)))
                for example in store.find(Example)
                if example.chosen not in (None, ERASED) and all(turn.content != ERASED for turn in example.messages)
            }
            gone = [(example,) for example in wanted - readable]
            cursor = connection.executemany(
                "DELETE FROM answer WHERE name IN (SELECT name FROM origin WHERE example = ?)", gone
            )
            deleted = max(0, cursor.rowcount)
            connection.commit()
        return deleted

    def close(self) -> None:
        """Give the file back."""
        with self._one_caller:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or the disk is full: not the file's fault
                raise
            log.warning("The generation cache %s is damaged and begins anew: %s", self._path, error)
            for suffix in ("", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
        connection.execute("PRAGMA secure_delete=ON")  # deleted words are overwritten in the file
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")  # after a power cut an entry may be missing, never torn
        connection.executescript(_SCHEMA)
        return connection

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Let the longest unused go, down to nine tenths of the limit, so that not every write deletes."""
        held: int = connection.execute("SELECT coalesce(sum(bytes), 0) FROM answer").fetchone()[0]
        if held <= self._limit_bytes:
            return
        gone = []
        for name, size in connection.execute("SELECT name, bytes FROM answer ORDER BY used_at, name"):
            gone.append((name,))
            held -= size
            if held <= 0.9 * self._limit_bytes:
                break
        connection.executemany("DELETE FROM answer WHERE name = ?", gone)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[sqlite3.Connection | None]:
        """Give the connection to one caller; a fault of the file or the disk costs the entry, not the evaluation."""
        with self._one_caller:
            try:
                yield self._connection
            except (sqlite3.Error, OSError, ValueError) as error:
                log.warning("The generation cache %s failed: %s", self._path, error)
                with contextlib.suppress(sqlite3.Error):
                    if self._connection is not None:
                        self._connection.rollback()


def example_digest(pair: Pair) -> str:
    """Return the hash of what an example says."""
    return content_hash([[turn.model_dump() for turn in pair.messages], pair.reply])
