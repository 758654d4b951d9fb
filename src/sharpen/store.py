"""The one place where records live: SQLite embedded, PostgreSQL at scale, the same code on both.

In: records. Out: the same records, in the order they were written. Must not know what a stage does with them.

Every kind has a table of one shape: a sequence number, the id, the subject it is about, the body as JSON. People's
words (`Record.payload`) go to one table beside them, so that a deletion can take the words and leave the tombstone.
Writing the same record twice is writing it once: a step that runs again after a crash changes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sharpen.database import connect_engine, shown, wal_is_safe
from sharpen.errors import NotFound, Refused, StoreError
from sharpen.failpoints import failpoint
from sharpen.records import RECORDS, Deployment, Record
from sharpen.tables import PAYLOADS, TABLES, metadata

__all__ = ["ERASED", "PAYLOADS", "TABLES", "Store", "metadata", "wal_is_safe"]

R = TypeVar("R", bound=Record)

ERASED = "[erased]"
_ASKED_AT_ONCE = 10_000  # chosen: ids or subjects per query; SQLite takes 32,766 variables, PostgreSQL 65,535

_KINDS = {kind.prefix: kind for kind in RECORDS}


class Store:
    """Append-only tables of records.

    `busy_s` is how long a writer waits for another one on SQLite.
    Raises: StoreError when the database refuses (disk full, locked for longer, not reachable).
    """

    def __init__(self, url: str, busy_s: float = 30.0) -> None:
        self.url = url
        self._engine = connect_engine(url, busy_s)

    @classmethod
    def open(cls, url: str, busy_s: float = 30.0) -> Store:
        """Open the store at `url`, creating or upgrading its schema first."""
        from sharpen.migrations import upgrade

        if url.startswith("sqlite:///"):
            try:
                Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"The store's folder cannot be made: {error}", "check the path and its rights"
                ) from error
        store = cls(url, busy_s)
        with store._guard():
            upgrade(store._engine)
        return store

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that may write. Raises: StoreError."""
        with self._guard(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Look at one moment of the database. Raises: StoreError."""
        level: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if self.is_postgres else {}
        with self._guard(), self._engine.connect().execution_options(**level) as connection, connection.begin():
            yield connection

    @property
    def is_postgres(self) -> bool:
        """Whether this is a PostgreSQL server, and not a file of SQLite's."""
        return self._engine.dialect.name == "postgresql"

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, *records: Record, beside: Callable[[Connection], None] | None = None) -> None:
        """Write the records in one transaction; it is on disk when this returns. `beside` writes in the same one.

        A record that is already there is left alone. Raises: Refused when its id is taken by other content.
        """
        if not records:
            return
        with self.writing() as connection:
            for record in records:
                self._insert(connection, record)
            if beside is not None:
                beside(connection)
            failpoint("store.before_commit")
        failpoint("store.after_commit")

    def deploy(
        self,
        deployment: Deployment,
        expected_version_id: str | None,
        *,
        after: str | None = None,
        beside: Callable[[Connection], None] | None = None,
    ) -> bool:
        """Write a Deployment only if the champion still is `expected_version_id`: compare-and-set.

        `after` names the Deployment that must still be the newest one. `beside` writes in the same transaction.
        Returns False, and writes nothing, when someone else deployed in between. Writing the same one again is fine.
        """
        with self.writing() as connection:
            if self.is_postgres:
                connection.exec_driver_sql("LOCK TABLE deployment IN EXCLUSIVE MODE")
            if self._fetch(connection, Deployment, ids=[deployment.id]):
                self._insert(connection, deployment)
                return True
            latest = self._fetch(connection, Deployment, newest=True, limit=1)
            if (latest[0].version_id if latest else None) != expected_version_id:
                return False
            if after is not None and latest[0].id != after:
                return False
            self._insert(connection, deployment)
            if beside is not None:
                beside(connection)
            failpoint("store.before_commit")
        failpoint("store.after_commit")
        return True

    def erase(self, record_id: str) -> bool:
        """Take a record's words away and leave the record. Returns False when there were none, or no longer."""
        with self.writing() as connection:
            there = (PAYLOADS.c.record_id == record_id) & PAYLOADS.c.body.is_not(None)
            statement = sa.update(PAYLOADS).where(there).values(body=None)
            return bool(connection.execute(statement).rowcount)

    def erased(self, kind: type[Record]) -> frozenset[str]:
        """Return the ids of this kind's records whose words were taken away."""
        table = TABLES[kind.prefix]
        query = sa.select(table.c.id).select_from(_with_words(table))
        query = query.where(PAYLOADS.c.record_id.is_not(None) & PAYLOADS.c.body.is_(None))
        with self._guard(), self._engine.connect() as connection:
            return frozenset(name for (name,) in connection.execute(query))

    def _insert(self, connection: Connection, record: Record) -> None:
        """Write one record, or find that it is there. The database decides which: two writers may race."""
        _check_names(record)
        body = record.model_dump(mode="json")
        words = {name: body.pop(name) for name in sorted(record.payload)}
        table = TABLES[record.prefix]
        values = {"id": record.id, "subject": record.subject, "body": json.dumps(body, sort_keys=True)}
        if not self._insert_new(connection, table, values):
            query = (
                sa.select(table.c.body, PAYLOADS.c.body).select_from(_with_words(table)).where(table.c.id == record.id)
            )
            there, words_there = connection.execute(query).one()
            # Read as this version of the code reads it: fields that an older one did not write have their defaults.
            known = _read(type(record), there, words_there).model_dump(mode="json")
            known_words = {name: known.pop(name) for name in sorted(record.payload)}
            same_words = words_there is None or known_words == words
            if not same_words or _stable(record, known) != _stable(record, body):
                raise Refused(f"{type(record).__name__} '{record.id}' is already written, with other content.")
        elif words:
            self._insert_new(connection, PAYLOADS, {"record_id": record.id, "body": json.dumps(words, sort_keys=True)})

    def _insert_new(self, connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
        """Insert a row unless its id is taken. Returns whether it did."""
        statement = _insertion(table.name, self.is_postgres)
        return connection.execute(statement, values, execution_options={"preserve_rowcount": True}).rowcount == 1

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, kind: type[R], record_id: str) -> R:
        """Return one record. Raises: NotFound."""
        found = self.find(kind, ids=[record_id])
        if not found:
            raise NotFound(f"There is no {kind.__name__} '{record_id}'.", "sharpen show  lists what there is")
        return found[0]

    def find(
        self,
        kind: type[R],
        *,
        subjects: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        newest: bool = False,
        limit: int | None = None,
    ) -> list[R]:
        """Return records of one kind, oldest first (or newest first), filtered by subject or id."""
        with self._guard(), self._engine.connect() as connection:
            return self._fetch(connection, kind, subjects=subjects, ids=ids, newest=newest, limit=limit)

    def champion(self) -> Deployment:
        """Return the Deployment in force. Raises: NotFound before `sharpen init`."""
        newest = self.find(Deployment, newest=True, limit=1)
        if not newest:
            raise NotFound("Nothing is deployed yet.", "sharpen init")
        return newest[0]

    def lookup(self, record_id: str) -> Record:
        """Return any record by its id alone. Raises: NotFound."""
        kind = _KINDS.get(record_id.partition("_")[0])
        if kind is None:
            known = ", ".join(sorted(_KINDS))
            raise NotFound(f"'{record_id}' is no record's id.", f"ids begin with one of {known}, then '_'")
        return self.get(kind, record_id)

    def count(self, kind: type[Record]) -> int:
        """Return how many records of this kind there are."""
        with self._guard(), self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(TABLES[kind.prefix])).scalar_one())

    def digest(self, kinds: Iterable[type[Record]] = RECORDS) -> str:
        """Return the SHA-256 of what the records say, without what the clock measured: equal runs, equal digests."""
        total = hashlib.sha256()
        for kind in kinds:
            bodies = sorted(_stable(record, record.model_dump(mode="json")) for record in self.find(kind))
            total.update("\n".join([kind.__name__, *bodies]).encode())
        return total.hexdigest()

    def _fetch(
        self,
        connection: Connection,
        kind: type[R],
        *,
        subjects: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        newest: bool = False,
        limit: int | None = None,
    ) -> list[R]:
        table = TABLES[kind.prefix]
        query = sa.select(table.c.seq, table.c.body, PAYLOADS.c.body).select_from(_with_words(table))
        query = query.order_by(table.c.seq.desc() if newest else table.c.seq).limit(limit)
        rows: list[Any] = []
        for some_ids in _portions(ids):
            for some_subjects in _portions(subjects):
                part = query if some_ids is None else query.where(table.c.id.in_(some_ids))
                part = part if some_subjects is None else part.where(table.c.subject.in_(some_subjects))
                rows += connection.execute(part)
        rows.sort(key=lambda row: row[0], reverse=newest)
        return [_read(kind, body, words) for _, body, words in rows[:limit]]

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn what the driver raises into a StoreError that says what to do."""
        try:
            yield
        except (OperationalError, PoolTimeout) as error:
            text = str(getattr(error, "orig", error))
            hint = "free some disk space, then run the command again" if "full" in text or "disk" in text else (
                "is another process holding the store? `sharpen doctor` tells"
            )  # fmt: skip
            raise StoreError(f"The store {shown(self.url)} refused: {text}", hint) from error
        except DBAPIError as error:
            raise StoreError(f"The store {shown(self.url)} failed: {error.orig}", "sharpen doctor") from error


def _check_names(record: Record) -> None:
    """Refuse an id or a subject that one of the databases could not hold, so that both refuse the same.

    Words may be anything: they are stored as ASCII-escaped JSON.
    """
    for what, name, longest in (("id", record.id, 64), ("subject", record.subject or "", 128)):
        if len(name) > longest or not name.isprintable():
            raise Refused(
                f"The {what} {name[:longest]!r} of a {type(record).__name__} cannot be stored.",
                f"use at most {longest} printable characters",
            )


@functools.cache
def _insertion(table: str, is_postgres: bool) -> Any:
    """Return the statement that inserts a row unless its id is taken; built once, for building it costs half a row."""
    insert = postgresql.insert if is_postgres else sqlite.insert
    return insert(metadata.tables[table]).on_conflict_do_nothing()


def _with_words(table: sa.Table) -> sa.Join:
    return table.outerjoin(PAYLOADS, PAYLOADS.c.record_id == table.c.id)


def _portions(wanted: Sequence[str] | None) -> list[Sequence[str] | None]:
    """Cut a long list of values into what one query can take; None is 'no filter'."""
    if wanted is None:
        return [None]
    distinct = list(dict.fromkeys(wanted))
    return [distinct[start : start + _ASKED_AT_ONCE] for start in range(0, len(distinct), _ASKED_AT_ONCE)]


def _stable(record: Record, body: dict[str, Any]) -> str:
    """Leave out what the clock measured. Text, because NaN equals nothing, itself included."""
    return json.dumps({name: value for name, value in body.items() if name not in record.volatile}, sort_keys=True)


def _read(kind: type[R], body: str, words: str | None) -> R:
    fields = json.loads(body)
    if kind.payload:
        fields |= json.loads(words) if words is not None else _erased(kind)
    return kind.model_validate(fields)


def _erased(kind: type[Record]) -> dict[str, Any]:
    """Return what stands where erased words stood."""
    blanks: dict[str, Any] = {}
    for name in kind.payload:
        field = kind.model_fields[name]
        if "Message" in str(field.annotation):
            blanks[name] = [{"role": "user", "content": ERASED}]
        elif "Step" in str(field.annotation):
            blanks[name] = []
        else:
            is_told = field.is_required() or name in kind.blanked
            blanks[name] = ERASED if is_told else field.get_default()
    return blanks
