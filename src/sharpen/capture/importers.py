"""Exchanges that were recorded elsewhere become Traces and Feedback.

In: a file of any format that `formats` knows. Out: records, in the store; and a dead-letter file of what could not be
used, each with its reason. Must not know how the exchanges came about.

The file is read as a stream, and written a few hundred rows at a time. Ids are hashes of what a row says: importing a
file again writes only what is missing, and an import that was killed goes on after the last rows that it wrote.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.capture.formats import FORMATS, recognised
from sharpen.capture.logs import Raw, records
from sharpen.capture.rows import ELSEWHERE, BadRow, Row, row_of
from sharpen.durable import write_text
from sharpen.errors import ConfigError, Refused
from sharpen.failpoints import failpoint
from sharpen.records import Feedback, Trace
from sharpen.store import Store

__all__ = ["ELSEWHERE", "Imported", "import_file", "import_jsonl"]

_PORTION = 500  # chosen: rows per transaction; one costs as much as a row's fsync
_SHOWN = 2_000  # chosen: characters of a bad record that the dead-letter file keeps


@dataclass
class Imported:
    """What an import did. `dead` is the file of what could not be used; None where everything could."""

    format: str = ""
    records: int = 0
    bad: int = 0
    traces: int = 0
    feedback: int = 0
    dead: Path | None = None
    reasons: dict[str, int] = field(default_factory=dict)


def import_file(store: Store, path: Path, state: Path, *, format_: str = "") -> Imported:
    """Import a file; what cannot be used goes to a dead-letter file in the folder `state`, and the rest goes on.

    `format_` is one of FORMATS; empty: told by the first record that can be read. Raises: ConfigError when the file or
    the format cannot be used at all; StoreError.
    """
    if format_ and format_ not in FORMATS:
        raise ConfigError(f"There is no format '{format_}'.", f"one of {', '.join(FORMATS)}")
    name = _name(path)
    dead, progress = state / f"{name}.rejected.jsonl", state / f"{name}.progress.json"
    state.mkdir(parents=True, exist_ok=True)
    done = _done(progress, path, dead)
    before = store.count(Trace), store.count(Feedback)
    told = Imported(
        format=done.get("format", format_), records=done["records"], bad=done["bad"], reasons=done["reasons"]
    )
    stream = itertools.islice(records(path), done["records"], None)
    while portion := list(itertools.islice(stream, _PORTION)):
        told.format = told.format or _format_of(portion, path)
        good, bad = _sorted(portion, told.format)
        bad += _written(store, good)
        failpoint("capture.after_rows")
        with dead.open("a", encoding="utf-8") as letters:
            for raw, reason in sorted(bad, key=lambda one: one[0].line):
                letters.write(json.dumps({"line": raw.line, "reason": reason, "record": raw.text[:_SHOWN]}) + "\n")
                told.reasons[_kind(reason)] = told.reasons.get(_kind(reason), 0) + 1
        told.records += len(portion)
        told.bad += len(bad)
        mark = done | {"format": told.format, "records": told.records, "bad": told.bad, "reasons": told.reasons}
        write_text(progress, json.dumps(mark | {"dead_bytes": dead.stat().st_size}))
    progress.unlink(missing_ok=True)  # a file that is imported again is read again: rows may have been mended
    told.traces, told.feedback = store.count(Trace) - before[0], store.count(Feedback) - before[1]
    told.dead = dead if told.bad else None
    if not told.bad:
        dead.unlink(missing_ok=True)
    return told


def import_jsonl(store: Store, path: Path) -> tuple[int, int]:
    """Import a file of our own rows, all or nothing, and return how many exchanges and pieces of feedback were new.

    Nothing is written before the whole file is checked. Raises: ConfigError naming file, line and fault; StoreError.
    """
    rows = []
    for raw in records(path):
        found, reason = _rows(raw, "sharpen")
        if reason is not None:
            known = f"known keys: {', '.join(Row.model_fields)}" if "Extra inputs" in reason else _EXAMPLE
            raise ConfigError(f"{path}:{raw.line}: {reason}.", known)
        rows += found
    before = store.count(Trace), store.count(Feedback)
    for start in range(0, len(rows), _PORTION):
        store.append(*(one for row in rows[start : start + _PORTION] for one in row.records()))
    return store.count(Trace) - before[0], store.count(Feedback) - before[1]


_EXAMPLE = '{"prompt": "…", "reply": "…", "correction": "…"}'


def _rows(raw: Raw, format_: str) -> tuple[list[Row], str | None]:
    """Return a record's rows, or why it has none."""
    if raw.fault is not None:
        return [], raw.fault
    try:
        return [row_of(values) for values in FORMATS[format_](raw.value)], None
    except BadRow as error:
        return [], str(error)


def _sorted(portion: list[Raw], format_: str) -> tuple[list[tuple[Raw, list[Row]]], list[tuple[Raw, str]]]:
    good, bad = [], []
    for raw in portion:
        rows, reason = _rows(raw, format_)
        if reason is None:
            good.append((raw, rows))
        else:
            bad.append((raw, reason))
    return good, bad


def _written(store: Store, good: list[tuple[Raw, list[Row]]]) -> list[tuple[Raw, str]]:
    """Write the rows in one transaction; where the store refuses one, each in its own. Return those it refused."""
    try:
        store.append(*(record for _, rows in good for row in rows for record in row.records()))
        return []
    except Refused:
        refused = []
        for raw, rows in good:
            try:
                store.append(*(record for row in rows for record in row.records()))
            except Refused as error:
                refused.append((raw, error.what))
        return refused


def _format_of(portion: list[Raw], path: Path) -> str:
    if ".csv" in path.suffixes:
        return "csv"
    found = next(filter(None, (recognised(raw.value) for raw in portion if raw.fault is None)), None)
    if found is None:
        raise ConfigError(
            f"{path}: the first {len(portion)} records have no format that is known.",
            f"--format, one of {', '.join(FORMATS)}; rows of ours are {_EXAMPLE}",
        )
    return found


def _done(progress: Path, path: Path, dead: Path) -> dict[str, Any]:
    """Return how far an earlier, killed import of the same file came; the dead letters behind that are taken back."""
    fresh: dict[str, Any] = {"file": _fingerprint(path), "records": 0, "bad": 0, "reasons": {}, "dead_bytes": 0}
    try:
        told: dict[str, Any] = json.loads(progress.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = fresh
    done = told if told.get("file") == fresh["file"] else fresh
    if dead.exists():
        with dead.open("r+b") as letters:
            letters.truncate(min(done["dead_bytes"], dead.stat().st_size))
    return done


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            start = stream.read(1 << 16)
        return f"{path.stat().st_size}-{hashlib.sha256(start).hexdigest()[:16]}"
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.", "check the path") from error


def _name(path: Path) -> str:
    return f"{path.name.partition('.')[0][:40]}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


def _kind(reason: str) -> str:
    """Shorten a reason to what it has in common with others of its kind."""
    return reason.partition(":")[0][:60] if reason.startswith(("not ", "the array")) else reason[:60]


def letters(dead: Path) -> Iterator[dict[str, Any]]:
    """Yield what a dead-letter file holds: line, reason and record."""
    with dead.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)
