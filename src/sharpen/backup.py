"""A deployment as one folder that can be put back: each database at one moment, adapters, journal, all with digests.

In: a loop and a place; or such a folder and a new home. Out: the folder; or the home, checked. Must not know what the
records say.

What can be made again is left out: kept answers, features, locks. A folder is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sharpen.database import shown
from sharpen.durable import sync, write_text
from sharpen.errors import ConfigError, Refused, StoreError
from sharpen.loop import Loop
from sharpen.promotion.journal import Journal, Soundness, check_journal
from sharpen.store import Store

MANIFEST = "backup.json"
_FORM = 1  # of the manifest
_LEFT_OUT = ("cycle.lock", "answers.db", "features.db")
_BESIDE = ("-journal", "-wal", "-shm")  # SQLite's own, which the copy of a database does not need


def back_up(loop: Loop, target: Path) -> Path:
    """Copy the deployment's home to `target`, while a gateway may go on writing. Returns `target`.

    A store that is not in `home` is named in the manifest and not copied. Raises: ConfigError when the place is taken;
    Refused while a cycle runs; StoreError.
    """
    home = loop.config.home.resolve()
    if target.exists():
        raise ConfigError(f"{target} is there already.", "name another place")
    if target.resolve().is_relative_to(home):
        raise ConfigError(f"{target} lies in what is to be copied.", f"name a place outside of {home}")
    with loop.alone(), _whole(target) as part:
        files = {str(name): _copied(home / name, part / name) for name in _names(home)}
        url = loop.config.store_url
        told = {"form": _FORM, "files": files, "store_elsewhere": None if _is_inside(url, home) else shown(url)}
        write_text(part / MANIFEST, json.dumps(told, indent=1, sort_keys=True))
    return target


def restore(source: Path, home: Path) -> Soundness | None:
    """Put a backup back as `home`, which must not be there yet, and bring its store to this version's schema.

    Returns what the check of the journal found; None where the store lies elsewhere. Raises: ConfigError when there is
    no backup, or the place is taken; Refused when a file is not what was copied; StoreError.
    """
    told = _manifest(source)
    if home.exists() and any(home.iterdir()):
        raise ConfigError(f"{home} is there already.", "move it away first, or name another place with --home")
    with _whole(home) as part:
        for name, digest in told["files"].items():
            place = part / name
            if not place.resolve().is_relative_to(part.resolve()):
                raise Refused(f"{source} names a file outside of itself: {name!r}.", "take another backup")
            if not (source / name).is_file() or _copied(source / name, place, database=False) != digest:
                raise Refused(f"{source / name} is not what was copied.", "take another backup")
    store = home / "store.db"
    if not store.is_file():
        return None
    return check_journal(Store.open(f"sqlite:///{store}"), Journal.open(home))


def _manifest(source: Path) -> dict[str, dict[str, str]]:
    try:
        told = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        form, files = told["form"], told["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{source} is no backup: {error}", "name a folder that `sharpen backup` wrote") from error
    if form != _FORM or not isinstance(files, dict):
        raise ConfigError(f"{source} was written in form {form!r}, which is not known here.", "update sharpen")
    return {"files": files}


def _names(home: Path) -> Iterator[Path]:
    for file in sorted(home.rglob("*")):
        is_left_out = file.name in _LEFT_OUT or file.name.endswith(_BESIDE)
        if file.is_file() and not file.is_symlink() and not is_left_out:
            yield file.relative_to(home)


def _is_inside(url: str, home: Path) -> bool:
    return url.startswith("sqlite:///") and Path(url.removeprefix("sqlite:///")).resolve().is_relative_to(home)


def _copied(file: Path, copy: Path, *, database: bool = True) -> str:
    """Copy a file durably, a database as it is at one moment; return the copy's SHA-256."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        if database and file.suffix == ".db":
            _copy_database(file, copy)
            shutil.copymode(file, copy)
        else:
            shutil.copy2(file, copy)
        sync(copy)
        with copy.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{file} cannot be copied to {copy}: {error}", "check the disk's space and rights") from error


def _copy_database(file: Path, copy: Path) -> None:
    """Copy through SQLite, which sees what a writer has committed and nothing else."""
    source = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    target = sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()


@contextlib.contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """Give a folder beside the place to write in; it takes the place when all went well, and is gone when not."""
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        try:
            part.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{part} cannot be made: {error}", "check the place and its rights") from error
        yield part
        if place.is_dir():
            place.rmdir()  # it is empty: that was looked at
        part.rename(place)
        sync(place.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
