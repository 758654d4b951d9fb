"""Whether what is kept is whole: SQLite, the store, its adapters, MLflow's mirror, an interrupted cycle.

In: a configuration. Out: findings. Must not change anything but the store's schema.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from alembic.script import ScriptDirectory

from sharpen.config import Config
from sharpen.doctor.finding import Finding
from sharpen.errors import NotFound
from sharpen.migrations import alembic_config
from sharpen.models.adapters import digest as adapter_digest
from sharpen.promotion.journal import Journal, check_journal
from sharpen.records import ModelVersion
from sharpen.store import Store, wal_is_safe

_SQLITE = "sqlite:///"


def check_sqlite(config: Config) -> Iterator[Finding]:
    """Name the linked SQLite, and the store's journal."""
    version = sqlite3.sqlite_version
    if not wal_is_safe():
        version += ": has the WAL-reset bug, so the store keeps the rollback journal"
    path = Path(config.store_url.removeprefix(_SQLITE))
    if config.store_url.startswith(_SQLITE) and path.is_file():
        version += f"; journal mode of the store: {_read_sqlite(path, 'PRAGMA journal_mode')}"
    yield Finding("SQLite", "ok", version)


def check_store(config: Config) -> Iterator[Finding]:
    """The store, then who is deployed in it."""
    path = Path(config.store_url.removeprefix(_SQLITE))
    is_sqlite = config.store_url.startswith(_SQLITE)
    if is_sqlite and not path.exists():
        yield Finding("store", "fail", f"there is no {path} yet", "sharpen init")
        return
    if is_sqlite and (fault := _read_sqlite(path, "PRAGMA quick_check(1)")) != "ok":
        yield Finding("store", "fail", f"{path} is damaged: {fault}", "restore it from a backup")
        return
    if is_sqlite and _is_newer(path):
        told = f"{path} was made by a newer sharpen than this one"
        yield Finding("store", "fail", told, "pip install --upgrade sharpen")
        return
    with contextlib.closing(Store.open(config.store_url)) as store:
        place = path if is_sqlite else "PostgreSQL"
        yield Finding("store", "ok", f"{place}: opens, and is at the newest schema")
        try:
            deployment = store.champion()
        except NotFound as error:
            yield Finding("champion", "fail", error.what, error.next_step)
            return
        yield _intact(config, store, "champion", deployment.version_id)
        if deployment.previous_id:
            yield _intact(config, store, "previous", deployment.previous_id)
        sound = check_journal(store, Journal.open(config.home))
        cure = "find out who wrote to the database; nothing is promoted on a verdict that was changed"
        yield Finding("journal", "fail" if sound.faults else "ok", sound.told, cure if sound.faults else "")


def _is_newer(path: Path) -> bool:
    """Tell whether the schema has a revision that we do not know."""
    try:
        revision = _read_sqlite(path, "SELECT version_num FROM alembic_version")
    except (sqlite3.Error, TypeError):  # no schema yet: opening the store makes it
        return False
    known = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return revision not in {one.revision for one in known}


def _intact(config: Config, store: Store, role: Literal["champion", "previous"], version_id: str) -> Finding:
    """Compute an adapter's digest again: its folder is named by it."""
    digest = store.get(ModelVersion, version_id).adapter_digest
    if digest is None:
        return Finding(role, "ok", f"{version_id}, the bare base")
    folder = config.adapters / digest
    try:
        fault = "" if adapter_digest(folder) == digest else "has changed since it was trained"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    if not fault:
        return Finding(role, "ok", f"{version_id}, adapter {digest} intact")
    if role == "champion":
        return Finding(role, "fail", f"{version_id}: adapter {folder} {fault}", "restore the folder, or sharpen undo")
    return Finding(
        role, "note", f"{version_id}: adapter {folder} {fault}", "restore it, or sharpen undo cannot go back"
    )


def check_mlflow(config: Config) -> Iterator[Finding]:
    """Look whether MLflow's database can be read."""
    path = config.home / "mlflow.db"
    if not config.tracking.mlflow:
        yield Finding("MLflow", "ok", "turned off")
    elif not path.exists():
        yield Finding("MLflow", "note", f"there is no {path}: runs are not mirrored", "sharpen init")
    else:
        try:
            runs = _read_sqlite(path, "SELECT count(*) FROM runs")
            yield Finding("MLflow", "ok", f"{path}: {runs} runs")
        except sqlite3.Error as error:
            told = f"{path} cannot be read: {error}; runs are not mirrored"
            yield Finding("MLflow", "note", told, f"delete {path}, then sharpen init; the store is not touched")


def check_cycle(config: Config) -> Iterator[Finding]:
    """Look for a cycle that was interrupted."""
    from sharpen.ledger import history

    past = history(config.ledger_url)
    waiting = [one.pass_id for one in past if not one.is_finished]
    if not past:
        yield Finding("cycle", "ok", "none has run yet")
    elif not waiting:
        yield Finding("cycle", "ok", "none is unfinished")
    elif _is_locked(config.home / "cycle.lock"):
        yield Finding("cycle", "ok", f"{waiting[-1]} is running now")
    else:
        yield Finding("cycle", "note", f"{waiting[-1]} was interrupted", "sharpen cycle  goes on with it")


def _is_locked(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _read_sqlite(path: Path, query: str) -> str:
    """Ask one thing of a database file, without the right to write."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        return str(connection.execute(query).fetchone()[0])
