"""The one place where records live: SQLite embedded, PostgreSQL at scale, the same code on both.

In: records. Out: the same records, in the order they were written. Must not know what a stage does with them.

Every kind has a table of one shape: a sequence number, the id, the subject it is about, the body as JSON. People's
words (`Record.payload`) go to one table beside them, so that a deletion can take the words and leave the tombstone.
Writing the same record twice is writing it once: a step that runs again after a crash changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sharpen.errors import NotFound, Refused, StoreError
from sharpen.failpoints import failpoint
from sharpen.records import RECORDS, Deployment, Record

R = TypeVar("R", bound=Record)

metadata = sa.MetaData()
ERASED = "[erased]"
_ASKED_AT_ONCE = 10_000  # chosen: ids or subjects per query; SQLite takes 32,766 variables, PostgreSQL 65,535

TABLES: dict[str, sa.Table] = {
    kind.prefix: sa.Table(
        kind.__name__.lower(),
        metadata,
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("subject", sa.String(128), index=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    for kind in RECORDS
}
PAYLOADS = sa.Table(
    "payload",
    metadata,
    sa.Column("record_id", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=True),  # None: erased
)

_KINDS = {kind.prefix: kind for kind in RECORDS}


def wal_is_safe(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Tell whether this SQLite is free of the WAL-reset bug (3.7.0 to 3.51.2; backports 3.44.6 and 3.50.7).

    Source: sqlite.org, release notes of 3.51.3.

    >>> wal_is_safe((3, 40, 1)), wal_is_safe((3, 44, 6)), wal_is_safe((3, 52, 0))
    (False, True, True)
    """
    if version >= (3, 51, 3):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 44, 6), (3, 50, 7)))


def _shown(url: str) -> str:
    """Return the address without its password: errors end up in logs.

    >>> _shown("postgresql+psycopg://me:secret@db/sharpen")
    'postgresql+psycopg://me:***@db/sharpen'
    """
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def _connect_engine(url: str, busy_s: float) -> Engine:
    try:
        engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise StoreError(
            f"The store's address '{_shown(url)}' cannot be used: {error}",
            "use sqlite:///PATH, or postgresql+psycopg://… after pip install 'sharpen[postgres]'",
        ) from error
    if engine.dialect.name == "sqlite":
        journal = "WAL" if wal_is_safe() else "DELETE"

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, below
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={int(busy_s * 1000)}")
            cursor.execute(f"PRAGMA journal_mode={journal}")
            cursor.execute("PRAGMA synchronous=EXTRA" if journal == "DELETE" else "PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA secure_delete=ON")  # erased words are overwritten in the file, not only unlinked
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A deferred transaction that turns into a writer half way can fail with SQLITE_BUSY at once;
            # a writer therefore takes its lock first and waits for it.
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class Store:
    """Append-only tables of records.

    `busy_s` is how long a writer waits for another one on SQLite.
    Raises: StoreError when the database refuses (disk full, locked for longer, not reachable).
    """

    def __init__(self, url: str, busy_s: float = 30.0) -> None:
        self.url = url
        self._engine = _connect_engine(url, busy_s)

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

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, *records: Record) -> None:
        """Write the records in one transaction; it is on disk when this returns.

        A record that is already there is left alone. Raises: Refused when its id is taken by other content.
        """
        if not records:
            return
        with self._guard(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            for record in records:
                self._insert(connection, record)
            failpoint("store.before_commit")
        failpoint("store.after_commit")

    def deploy(self, deployment: Deployment, expected_version_id: str | None) -> bool:
        """Write a Deployment only if the champion still is `expected_version_id`: compare-and-set.

        Returns False, and writes nothing, when someone else deployed in between. Writing the same one again is fine.
        """
        with self._guard(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if self._engine.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE deployment IN EXCLUSIVE MODE")
            if self._fetch(connection, Deployment, ids=[deployment.id]):
                self._insert(connection, deployment)
                return True
            latest = self._fetch(connection, Deployment, newest=True, limit=1)
            if (latest[0].version_id if latest else None) != expected_version_id:
                return False
            self._insert(connection, deployment)
            failpoint("store.before_commit")
        failpoint("store.after_commit")
        return True

    def erase(self, record_id: str) -> bool:
        """Take a record's words away and leave the record. Returns False when there were none, or no longer."""
        with self._guard(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            there = (PAYLOADS.c.record_id == record_id) & PAYLOADS.c.body.is_not(None)
            statement = sa.update(PAYLOADS).where(there).values(body=None)
            return bool(connection.execute(statement).rowcount)

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
            erased = words_there is None
            same_words = not words or erased or json.loads(words_there) == words
            if not same_words or _stable(record, json.loads(there)) != _stable(record, body):
                raise Refused(f"{type(record).__name__} '{record.id}' is already written, with other content.")
        elif words:
            self._insert_new(connection, PAYLOADS, {"record_id": record.id, "body": json.dumps(words, sort_keys=True)})

    def _insert_new(self, connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
        """Insert a row unless its id is taken. Returns whether it did."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).values(**values).on_conflict_do_nothing()
        return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1

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
            raise StoreError(f"The store {_shown(self.url)} refused: {text}", hint) from error
        except DBAPIError as error:
            raise StoreError(f"The store {_shown(self.url)} failed: {error.orig}", "sharpen doctor") from error


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
            blanks[name] = ERASED if field.is_required() else None
    return blanks
