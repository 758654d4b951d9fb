"""What users met: exchanges and ratings since a moment, read from the store bit by bit.

In: a store. Out: one small value per exchange and per rating, in the order they were written. Must not know what they
are compared with.

Imported exchanges are left out: no version of ours answered them. A broken-off exchange counts for nothing but its
being there. A correction without a rating says that the answer was bad.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

import sqlalchemy as sa

from sharpen.memory.words import words
from sharpen.records import Feedback, Trace
from sharpen.store import Store
from sharpen.tables import PAYLOADS, TABLES
from sharpen.verify.ready.xstest import refuses

BUCKETS = 512  # chosen: enough that a new topic shows, few enough that 30 replies fill them
_WORDS = 64  # chosen: of a reply; its opening shows its manner
_PAGE = 500  # chosen: rows per transaction; on a SQLite file without a write-ahead log a reader keeps writers waiting
_AGAIN = 200  # chosen: rows read twice, because on PostgreSQL a row may be committed after one with a higher number
_PAUSE_S = 0.002  # chosen: leaves the interpreter to requests between two pages
_ID_LENGTH = len(Trace.prefix) + 1 + 22  # a time-ordered id; an imported exchange is named by its content


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer, without its text: what is erased from the store must not live on here."""

    id: str
    version_id: str
    session: str  # its own id where the client named no session
    at_s: float  # seconds since the epoch
    is_over: bool  # False: the client broke it off
    has_failed: bool
    is_refusal: bool
    latency_s: float
    tokens: int
    words: bytes = b""  # its first words, each as a number that does not give the word away


@dataclass(frozen=True, slots=True)
class Rating:
    """What somebody thought of an answer, 0 (bad) to 1 (good)."""

    trace_id: str
    at_s: float
    value: float


def before(store: Store, moment: datetime, version_id: str, most: int) -> list[Exchange]:
    """Return what a version answered before a moment, of the newest `most` exchanges. Raises: StoreError."""
    table, bound = TABLES[Trace.prefix], f"{Trace.prefix}_{int(moment.timestamp() * 1000):012x}"
    query = sa.select(table.c.id, table.c.body).where(table.c.id < bound).order_by(table.c.id.desc()).limit(most)
    with store.reading() as connection:
        rows = list(connection.execute(query))
    found = [_exchange(trace_id, json.loads(body), {}) for trace_id, body in rows if len(trace_id) == _ID_LENGTH]
    return [one for one in found if one.version_id == version_id]


def _exchange(trace_id: str, body: dict[str, Any], said: dict[str, Any]) -> Exchange:
    reply, is_over, has_failed = (
        said.get("reply") or "",
        body["finish_reason"] != "cancelled",
        body["error"] is not None,
    )
    return Exchange(
        id=trace_id,
        version_id=body["version_id"],
        session=body["session"] or trace_id,
        at_s=datetime.fromisoformat(body["at"]).timestamp(),
        is_over=is_over,
        has_failed=has_failed,
        is_refusal=is_over and not has_failed and refuses(reply),
        latency_s=body["latency_s"],
        tokens=body["completion_tokens"],
        words=sketch(reply),
    )


def sketch(text: str) -> bytes:
    """Return the first words of a text as numbers from 0 to 511, two bytes each."""
    return b"".join((crc32(word.encode()) % BUCKETS).to_bytes(2, "little") for word in words(text)[:_WORDS])


class Live:
    """A view that grows: `exchanges` and `ratings` hold what was written since `since`, after each `refresh`."""

    def __init__(self, store: Store, since: datetime) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self.ratings: dict[str, Rating] = {}
        self._store = store
        self._since_s = since.timestamp()
        self._seen: dict[str, int | None] = {Trace.prefix: None, Feedback.prefix: None}

    def refresh(self) -> tuple[list[Exchange], list[Rating]]:
        """Read what is new, and return it. Raises: StoreError."""
        exchanges = [self._take_exchange(*row) for row in self._new(Trace.prefix)]
        ratings = [self._take_rating(*row) for row in self._new(Feedback.prefix)]
        return [one for one in exchanges if one is not None], [one for one in ratings if one is not None]

    def _take_exchange(self, trace_id: str, body: dict[str, Any], said: dict[str, Any]) -> Exchange | None:
        if len(trace_id) != _ID_LENGTH or trace_id in self.exchanges:
            return None
        one = _exchange(trace_id, body, said)
        if one.at_s < self._since_s:
            return None
        self.exchanges[trace_id] = one
        return one

    def _take_rating(self, feedback_id: str, body: dict[str, Any], said: dict[str, Any]) -> Rating | None:
        rating = body["rating"]
        if rating is None and said.get("correction") is not None:
            rating = -1.0
        if rating is None or body["trace_id"] not in self.exchanges or feedback_id in self.ratings:
            return None
        at_s = datetime.fromisoformat(body["at"]).timestamp()
        self.ratings[feedback_id] = Rating(body["trace_id"], at_s, (1.0 + rating) / 2.0)
        return self.ratings[feedback_id]

    def _new(self, prefix: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        table, rows = TABLES[prefix], []
        query = sa.select(table.c.seq, table.c.id, table.c.body, PAYLOADS.c.body).select_from(
            table.outerjoin(PAYLOADS, PAYLOADS.c.record_id == table.c.id)
        )
        cursor = self._begin(prefix)
        while True:
            with self._store.reading() as connection:
                page = list(connection.execute(query.where(table.c.seq > cursor).order_by(table.c.seq).limit(_PAGE)))
            rows += [(row[1], json.loads(row[2]), json.loads(row[3]) if row[3] else {}) for row in page]
            if page:
                cursor = page[-1][0]
                self._seen[prefix] = cursor
            if len(page) < _PAGE:
                return rows
            time.sleep(_PAUSE_S)

    def _begin(self, prefix: str) -> int:
        """Return the sequence number after which to read."""
        seen = self._seen[prefix]
        if seen is not None:
            return seen - _AGAIN
        # The ids of what the gateway writes begin with its milliseconds, and they are indexed: no need to read it all.
        table, first = TABLES[prefix], f"{prefix}_{int(self._since_s * 1000):012x}"
        with self._store.reading() as connection:
            lowest = connection.execute(sa.select(sa.func.min(table.c.seq)).where(table.c.id >= first)).scalar_one()
        return 0 if lowest is None else int(lowest) - 1
