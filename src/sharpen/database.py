"""How a database is reached, so that what was committed is on disk and two writers wait for one another.

In: an address. Out: an SQLAlchemy engine. Must not know the tables.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from sharpen.errors import StoreError


def wal_is_safe(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Tell whether this SQLite is free of the WAL-reset bug (3.7.0 to 3.51.2; backports 3.44.6 and 3.50.7).

    Source: sqlite.org, release notes of 3.51.3.

    >>> wal_is_safe((3, 40, 1)), wal_is_safe((3, 44, 6)), wal_is_safe((3, 52, 0))
    (False, True, True)
    """
    if version >= (3, 51, 3):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 44, 6), (3, 50, 7)))


def shown(url: str) -> str:
    """Return the address without its password: errors end up in logs.

    >>> shown("postgresql+psycopg://me:secret@db/sharpen")
    'postgresql+psycopg://me:***@db/sharpen'
    """
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)


def connect_engine(url: str, busy_s: float) -> Engine:
    """Return an engine whose transactions are durable, and whose writers wait for one another.

    `busy_s` is how long a writer waits on SQLite. Raises: StoreError when the address cannot be used.
    """
    try:
        engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise StoreError(
            f"The store's address '{shown(url)}' cannot be used: {error}",
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
