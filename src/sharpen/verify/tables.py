"""Tables of a suite, whatever their format, become rows with a place.

In: a JSONL, CSV or Parquet file, or a Hugging Face data set. Out: (place, row) pairs, a row being a dict. Must not know
what a row means.

A file may be packed with gzip (`.jsonl.gz`, `.csv.gz`). A Hugging Face data set is a folder or an id; code that comes
with a data set is never run.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sharpen.errors import BoundaryError, ConfigError
from sharpen.plugins import part

ROW = '{"prompt": "…", "reference": "…"}'
FORMATS = "FILE.jsonl, FILE.csv, FILE.parquet, hf:NAME, ready:NAME or reasoning-gym:NAME"
LONGEST_FILE_BYTES = 2 << 30  # chosen: a suite is read whole; above this somebody named the wrong file

Rows = Iterator[tuple[str, dict[str, Any]]]


def read_table(path: Path) -> Rows:
    """Yield a file's rows, each with its place as FILE:LINE. Raises: ConfigError naming place and fault."""
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix != ".gz"]
    readers: dict[str, Callable[[Path], Rows]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(suffixes[-1] if suffixes else "")
    if reader is None:
        raise ConfigError(f"The suite '{path}' is no known format.", FORMATS)
    return reader(path)


def read_text(path: Path) -> str:
    """Return a file's text, unpacked if its name ends in .gz. Raises: ConfigError naming file, line and fault."""
    try:
        if path.stat().st_size > LONGEST_FILE_BYTES:
            raise ConfigError(f"The suite {path} has more than {LONGEST_FILE_BYTES >> 30} GiB.", "name a smaller file")
        raw = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(raw)) as stream:
                raw = stream.read(LONGEST_FILE_BYTES + 1)
            if len(raw) > LONGEST_FILE_BYTES:
                raise ConfigError(f"The suite {path} unpacks to too much.", "name a smaller file")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"The suite {path} cannot be unpacked: {error}.", "copy or pack the file again") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"The suite {path} cannot be read: {reason}.", FORMATS) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte {error.start}).", "save the file as UTF-8") from error


def _jsonl(path: Path) -> Rows:
    # Not splitlines(): it would cut at line separators such as U+2028, which JSON allows inside a text.
    for line, raw in enumerate(read_text(path).split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}:{line}: not valid JSON: {error}", f"one row a line: {ROW}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{line}: a {type(row).__name__}, not an object.", f"one row a line: {ROW}")
        yield f"{path}:{line}", row


def _csv(path: Path) -> Rows:
    """Yield rows without their empty cells; a quoted cell may hold line breaks."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    line = 1
    try:
        columns = len(reader.fieldnames or ())
        while True:
            line = reader.line_num + 1  # where the row begins
            cells = next(reader, None)
            if cells is None:
                return
            if None in cells or None in cells.values():
                raise ConfigError(f"{path}:{line}: not {columns} cells, as in the head.", "put quotes around commas")
            yield f"{path}:{line}", {name: cell for name, cell in cells.items() if cell != ""}
    except csv.Error as error:
        raise ConfigError(f"{path}:{line}: not valid CSV: {error}", "check the quotes") from error


def _parquet(path: Path) -> Rows:
    """Yield rows without their nulls. The place counts rows from 1."""
    if not path.is_file():
        raise ConfigError(f"The suite {path} cannot be read: there is no such file.", FORMATS)
    arrow = part("pyarrow")
    try:
        with part("pyarrow.parquet").ParquetFile(path) as table:
            rows = (row for batch in table.iter_batches() for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{path}:{number}", {name: cell for name, cell in row.items() if cell is not None}
    except (arrow.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not valid Parquet: {error}", "write the file again") from error


def read_dataset(name: str, *, config: str | None = None, split: str = "test") -> Rows:
    """Yield the rows of a Hugging Face data set's split: a folder on disk, or an id, which needs a cache or a network.

    Raises: ConfigError when there is no such split; BoundaryError when it cannot be loaded; MissingExtra.
    """
    datasets = part("datasets")
    folder = Path(name)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = datasets.load_from_disk(name)
        else:
            loaded = datasets.load_dataset(name, config)
    except Exception as error:  # the library raises what its readers, its hub client and its cache raise
        raise BoundaryError(
            f"The data set '{name}' cannot be loaded: {type(error).__name__}: {str(error)[:300]}",
            "hf:FOLDER of a copy on this machine, or hf:OWNER/NAME with a network",
        ) from error
    if isinstance(loaded, dict):
        if split not in loaded:
            known = ", ".join(loaded)
            raise ConfigError(f"The data set '{name}' has no split '{split}'.", f"?split=… with one of {known}")
        loaded = loaded[split]
    for number, row in enumerate(loaded, start=1):
        yield f"hf:{name}:{number}", {key: cell for key, cell in row.items() if cell is not None}
