"""Every move of a deployment, and the verdict behind it, signed, in a chain that only grows.

In: a record that is being written, inside its transaction. Out: an entry beside it; or the faults of the whole chain.
Must not know why a version is deployed.

An entry holds the SHA-256 of the rows it vouches for (the Deployment, its Verdict, its versions), the row's place in
its table, and the SHA-256 of the entry before; its HMAC-SHA256 is made with a key that is not in the database. So a row
that was edited, removed, inserted or moved shows, to whoever has the key. That the newest entries are gone shows
against the head: the last entry's number and hash, kept in `home`, outside of the database.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sharpen.durable import write_text
from sharpen.errors import Refused, StoreError
from sharpen.records import Deployment, Record, Verdict, now
from sharpen.store import Store
from sharpen.tables import JOURNAL, TABLES

KEY_ENV = "SHARPEN_JOURNAL_KEY"
_SHORTEST_KEY = 32  # chosen: characters; 64 hexadecimal digits are made here
_BLOCK = 500  # chosen: rows named in one query

Move = Literal["init", "verdict", "promote", "canary", "rollback", "undo"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal, as it lies in the database."""

    number: int
    record_id: str
    body: str
    signature: str

    @property
    def hash(self) -> str:
        """What the next entry names this one by."""
        return _sha(self.body + self.signature)

    @property
    def said(self) -> dict[str, Any]:
        """What it says; nothing where somebody's edit left no JSON."""
        try:
            return dict(json.loads(self.body))
        except (ValueError, TypeError):
            return {}

    @property
    def rows(self) -> dict[str, str]:
        """SHA-256 of each row that it vouches for, by id."""
        return dict(self.said.get("rows", {}))


class Journal:
    """Writes and checks entries with one key. `head` is the file that remembers the newest entry."""

    def __init__(self, key: bytes, head: Path) -> None:
        self._key = key
        self._head = head

    @classmethod
    def open(cls, home: Path) -> Journal:
        """Use the key in SHARPEN_JOURNAL_KEY, or the one in `home`, which is made at the first use, for its owner only.

        Raises: Refused when the key is short, or others may read its file. StoreError.
        """
        path = home / "journal.key"
        given = os.environ.get(KEY_ENV, "").strip()
        key = given or _read_or_make(path)
        if len(key) < _SHORTEST_KEY:
            place = KEY_ENV if given else str(path)
            raise Refused(
                f"The journal's key in {place} is shorter than {_SHORTEST_KEY} characters.",
                "bring the key back from a copy; with another one every old entry looks forged",
            )
        return cls(key.encode(), home / "journal.head")

    def enter(self, connection: Connection, move: Move, record: Record, vouched: Sequence[str] = ()) -> None:
        """Write the entry of a record that the same transaction wrote; `vouched` are ids of rows it stands on.

        Raises: Refused when the row of a Verdict is not the one that was entered when the gate reached it.
        """
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE journal IN EXCLUSIVE MODE")
        known = _entries(connection, sa.select(JOURNAL).where(JOURNAL.c.record_id == record.id))
        if known:
            self._prove(connection, record.id, known)
            return
        for record_id in vouched:
            if _is(Verdict.prefix, record_id):
                self._prove(connection, record_id)
        newest = _entries(connection, sa.select(JOURNAL).order_by(JOURNAL.c.number.desc()).limit(1))
        table = TABLES[record.prefix]
        mine = sa.select(table.c.seq).where(table.c.id == record.id).scalar_subquery()
        body = {
            "number": newest[0].number + 1 if newest else 1,
            "at": now().isoformat(),
            "move": move,
            "record": record.id,
            "place": connection.execute(sa.select(sa.func.count()).where(table.c.seq <= mine)).scalar_one(),
            "rows": _digests(connection, (record.id, *vouched)),
            "previous": newest[0].hash if newest else "",
        }
        text = json.dumps(body, sort_keys=True)
        values = {"number": body["number"], "record_id": record.id, "body": text, "signature": self._sign(text)}
        connection.execute(sa.insert(JOURNAL).values(**values))

    def _prove(self, connection: Connection, record_id: str, known: list[Entry] | None = None) -> None:
        """Refuse a row that is not as it was when it was entered."""
        entries = known or _entries(connection, sa.select(JOURNAL).where(JOURNAL.c.record_id == record_id))
        if not entries:
            raise Refused(f"'{record_id}' is not in the journal: no gate of ours reached it.", "sharpen cycle")
        entered, there = entries[0].rows.get(record_id), _digests(connection, [record_id]).get(record_id)
        if not self.is_ours(entries[0]) or entered is None or entered != there:
            raise Refused(f"'{record_id}' was changed after it was entered in the journal.", "sharpen doctor")

    def is_ours(self, entry: Entry) -> bool:
        """Tell whether an entry was signed with this key."""
        return hmac.compare_digest(entry.signature, self._sign(entry.body))

    def key_for(self, purpose: str) -> bytes:
        """Return a key of its own for something else that needs one secret per deployment."""
        return hmac.new(self._key, f"for {purpose}".encode(), hashlib.sha256).digest()

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def remember(self, store: Store) -> None:
        """Write down the newest entry's number and hash, outside of the database. Raises: StoreError."""
        with store.reading() as connection:
            newest = _entries(connection, sa.select(JOURNAL).order_by(JOURNAL.c.number.desc()).limit(1))
        if newest:
            self._head.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._head, json.dumps({"number": newest[0].number, "hash": newest[0].hash}))

    def remembered(self) -> tuple[int, str]:
        """Return the number and hash of the newest entry that was remembered; (0, "") where none was."""
        try:
            head = json.loads(self._head.read_text(encoding="utf-8"))
            return int(head["number"]), str(head["hash"])
        except FileNotFoundError:
            return 0, ""
        except (OSError, ValueError, KeyError, TypeError):
            return -1, ""


@dataclass(frozen=True, slots=True)
class Soundness:
    """What a check of the journal found. `faults` is empty when every row is as it was written."""

    entries: int
    older: int  # Deployments from before there was a journal
    faults: tuple[str, ...]

    @property
    def told(self) -> str:
        """The finding as one sentence."""
        if self.faults:
            more = f", and {len(self.faults) - 3} more" if len(self.faults) > 3 else ""
            return "; ".join(self.faults[:3]) + more
        older = f"; {self.older} deployments are older than it" if self.older else ""
        return f"{self.entries} entries, each signed and in its place{older}"


def check_journal(store: Store, journal: Journal) -> Soundness:
    """Compare every entry with the rows it vouches for, and with the entry before it. Raises: StoreError."""
    with store.reading() as connection:
        entries = _entries(connection, sa.select(JOURNAL).order_by(JOURNAL.c.number))
        digests = _digests(connection, {name for entry in entries for name in entry.rows})
        ids = {
            kind.prefix: [row[0] for row in connection.execute(sa.select(TABLES[kind.prefix].c.id).order_by("seq"))]
            for kind in (Deployment, Verdict)
        }
    faults = [*_broken_chain(journal, entries), *_changed_rows(entries, digests)]
    older = dict.fromkeys(ids, 0)
    for prefix, names in ids.items():
        places = {one.record_id: int(one.said.get("place", 0)) for one in entries if _is(prefix, one.record_id)}
        older[prefix] = max(0, min(places.values(), default=1 if entries else len(names) + 1) - 1)
        moved = [name for place, name in enumerate(names, 1) if places.get(name, place) != place]
        faults += [f"'{name}' is not in its place: a row was added or removed before it" for name in moved[:1]]
        faults += [f"'{name}' is in no entry" for name in names[older[prefix] :] if name not in places]
    return Soundness(len(entries), older[Deployment.prefix], tuple(dict.fromkeys(faults)))


def _broken_chain(journal: Journal, entries: list[Entry]) -> list[str]:
    faults = []
    before = Entry(0, "", "", "")
    for entry in entries:
        if entry.number != before.number + 1:
            faults.append(f"entry {before.number + 1} of the journal is missing")
        elif entry.said.get("previous") != (before.hash if before.number else ""):
            faults.append(f"entry {entry.number} of the journal does not follow the one before it")
        if not journal.is_ours(entry) or (entry.said.get("number"), entry.said.get("record")) != (
            entry.number,
            entry.record_id,
        ):
            faults.append(f"entry {entry.number} of the journal was edited, or signed with another key")
        before = entry
    number, last = journal.remembered()
    if number < 0:
        faults.append("the file journal.head cannot be read")
    elif number > 0 and {entry.number: entry.hash for entry in entries}.get(number) != last:
        faults.append(f"the journal once ended at entry {number}, and no longer holds it as it was")
    return faults


def _changed_rows(entries: list[Entry], digests: dict[str, str]) -> list[str]:
    faults = []
    for entry in entries:
        for name, digest in entry.rows.items():
            if name not in digests:
                faults.append(f"'{name}' was removed after it was entered")
            elif digests[name] != digest:
                faults.append(f"'{name}' was edited after it was entered")
    return faults


def _is(prefix: str, record_id: str) -> bool:
    return record_id.startswith(f"{prefix}_")


def _read_or_make(path: Path) -> str:
    """Return the key in the file; of two processes that make it at once, both get the same one."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(secrets.token_hex(32))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        if path.stat().st_mode & 0o077:
            raise Refused(f"Others may read the journal's key in {path}.", f"chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"The journal's key in {path} cannot be used: {error}", "check the file's rights") from error


def _entries(connection: Connection, query: sa.Select[Any]) -> list[Entry]:
    return [Entry(row.number, row.record_id, row.body, row.signature) for row in connection.execute(query)]


def _digests(connection: Connection, record_ids: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each row's body as it lies there; ids without a row are left out."""
    found: dict[str, str] = {}
    wanted = sorted(record_ids)
    for start in range(0, len(wanted), _BLOCK):
        block = wanted[start : start + _BLOCK]
        for prefix in {name.partition("_")[0] for name in block} & set(TABLES):
            table = TABLES[prefix]
            query = sa.select(table.c.id, table.c.body).where(table.c.id.in_(block))
            found |= {name: _sha(body) for name, body in connection.execute(query)}
    return found


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
