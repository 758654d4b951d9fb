"""A file of records becomes records, one at a time: JSON lines, a JSON array, or CSV, also gzipped.

In: a path. Out: per record its line, its raw text, and its value or what is wrong with it. Must not know what a record
means.

A line that cannot be read is one bad record; the rest goes on. No line is held in memory beyond a limit.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from sharpen.errors import ConfigError

LONGEST_LINE = 8 << 20  # chosen: bytes of a record; eight times what a request may have
_CHUNK = 1 << 20
_DEEPEST = 100  # chosen: levels of nesting; real exports have ten
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00": "UTF-32"}


class Raw(NamedTuple):
    """One record as it came; `fault` is what keeps it from having a value."""

    line: int
    text: str
    value: Any = None
    fault: str | None = None


def records(path: Path) -> Iterator[Raw]:
    """Yield the records of a file. Raises: ConfigError when it cannot be read at all, or is empty."""
    try:
        with _opened(path) as stream:
            start = stream.read(4)
            for mark, name in _BOMS.items():
                if start.startswith(mark):
                    raise ConfigError(f"{path} is {name}.", "save the file as UTF-8")
            stream.seek(0)
            found = _csv(stream) if ".csv" in path.suffixes else _json(stream)
            is_empty = True
            for record in found:
                is_empty = False
                yield record
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        told = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read: {told}.", "check the path") from error
    if is_empty:
        raise ConfigError(f"{path} is empty.", 'one exchange a line: {"prompt": "…", "reply": "…", "correction": "…"}')


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _json(stream: IO[bytes]) -> Iterator[Raw]:
    first = stream.read(_CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()
    stream.seek(0)
    if first.startswith(b"[") and b"{" in first[:1000] and not _is_line(first):
        yield from _array(stream)
    else:
        yield from _lines(stream)


def _is_line(start: bytes) -> bool:
    """Tell whether the first line is a value of its own: then the file is lines, and this one is no object."""
    line, newline, rest = start.partition(b"\n")
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return bool(newline and rest.strip())


def _lines(stream: IO[bytes]) -> Iterator[Raw]:
    """Cut at line feeds alone: JSON allows line separators such as U+2028 inside a text."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            shown = line[:200].decode("utf-8", "replace")
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
            yield Raw(number, shown, fault=f"longer than {LONGEST_LINE} bytes")
            continue
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            yield _decoded(number, line)


def _decoded(number: int, line: bytes) -> Raw:
    try:
        text = line.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        return Raw(number, line.decode("utf-8", "backslashreplace"), fault=f"not UTF-8 (byte {error.start})")
    try:
        return Raw(number, text, parsed(text))
    except (ValueError, RecursionError) as error:
        return Raw(number, text, fault=f"not valid JSON: {error}")


def parsed(text: str) -> Any:
    """Return the value of a JSON text. Raises: ValueError also for what JSON libraries let through."""
    value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    if _depth(value) > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _depth(value: Any) -> int:
    deepest, left = 0, [(value, 1)]
    while left:
        one, depth = left.pop()
        deepest = max(deepest, depth)
        if isinstance(one, dict | list):
            left += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def _array(stream: IO[bytes]) -> Iterator[Raw]:
    """Yield the elements of one JSON array, holding only the one that is read. The number is the element's."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="strict", newline="")
    decoder = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once)
    buffer, number = "", 0
    try:
        buffer = text.read(_CHUNK).lstrip().removeprefix("[")
        while True:
            buffer = buffer.lstrip().removeprefix(",").lstrip() if number else buffer.lstrip()
            if buffer.startswith("]"):
                return
            try:
                value, end = decoder.raw_decode(buffer)
                if end == len(buffer):  # a number may go on in the next chunk
                    raise ValueError("cut")
            except (ValueError, RecursionError) as error:
                more = text.read(_CHUNK)
                if more and len(buffer) < LONGEST_LINE:
                    buffer += more
                    continue
                yield Raw(number + 1, buffer[:200], fault=f"the array breaks off: not valid JSON: {error}")
                return
            number += 1
            is_deep = _depth(value) > _DEEPEST
            fault = f"not valid JSON: nested more than {_DEEPEST} deep" if is_deep else None
            yield Raw(number, buffer[:end], None if is_deep else value, fault)
            buffer = buffer[end:]
    except UnicodeDecodeError as error:
        yield Raw(number + 1, "", fault=f"the array breaks off: not UTF-8 (byte {error.start})")


def _csv(stream: IO[bytes]) -> Iterator[Raw]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.DictReader(text, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Raw(reader.line_num, "", fault=f"not valid CSV: {error}")
            continue
        shown = json.dumps(cells)
        if None in cells or None in cells.values():
            yield Raw(reader.line_num, shown, fault="another number of cells than the heading")
        elif any("\udc80" <= letter <= "\udcff" for cell in cells.values() for letter in cell):
            yield Raw(reader.line_num, shown, fault="not UTF-8")
        else:
            yield Raw(reader.line_num, shown, {name: cell for name, cell in cells.items() if cell != ""})
