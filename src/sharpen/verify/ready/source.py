"""What every ready-made suite is made of: files of a folder, rows with a place, drafts of cases.

In: a folder. Out: rows. Must not know any one data set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.errors import ConfigError
from sharpen.verify.cases import TASK, Kind, Shares
from sharpen.verify.tables import read_table, read_text


@dataclass(frozen=True)
class Draft:
    """A case before it has a name and a tier. An empty cluster: it stands alone."""

    prompt: str
    reference: str
    kind: Kind = "reply"
    choices: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    cluster: str = ""


@dataclass(frozen=True)
class Ready:
    """How a data set becomes a suite.

    `home` is where its publisher keeps the files; `patterns` are the names they have in `folder`, packed or not. A
    `monitor` is for watching only.
    """

    folder: str
    patterns: tuple[str, ...]
    read: Callable[[Folder], Iterable[Draft]]
    scorer: str
    home: str
    shares: Shares = field(default_factory=lambda: TASK)
    monitor: bool = False


class Row:
    """One row of a file; a field that is missing or of another type is an error that names the place."""

    def __init__(self, where: str, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise ConfigError(f"{where}: a {type(fields).__name__}, not an object.", "copy the published file again")
        self.where = where
        self._fields: dict[str, Any] = fields

    def get(self, key: str, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        """Return a field of the given type."""
        value = self._fields.get(key)
        if not isinstance(value, kind):
            found = "is missing" if value is None else f"is {str(value)[:80]!r}"
            raise ConfigError(f"{self.where}: '{key}' {found}.", "copy the published file again")
        return value

    def text(self, key: str) -> str:
        """Return a field that is a text with words in it."""
        value: str = self.get(key, str).strip()
        if not value:
            raise ConfigError(f"{self.where}: '{key}' is empty.", "copy the published file again")
        return value

    def maybe(self, key: str) -> str:
        """Return a field's text, or '' where there is none."""
        value = self._fields.get(key)
        return value.strip() if isinstance(value, str) else ""

    def bad(self, what: str) -> ConfigError:
        """Return the error of a row that is not as published."""
        return ConfigError(f"{self.where}: {what}.", "copy the published file again")


@dataclass(frozen=True)
class Folder:
    """The folder of one data set."""

    path: Path
    ready: Ready

    def files(self) -> list[Path]:
        """Return the files that the suite reads, by name. Raises: ConfigError when there is none."""
        found = {path for pattern in self.ready.patterns for path in self.path.glob(pattern) if path.is_file()}
        if not found:
            wanted = " or ".join(self.ready.patterns)
            raise ConfigError(
                f"There is no {wanted} in {self.path}.", f"put the files of {self.ready.home} there (.gz is fine)"
            )
        return sorted(found)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of every JSONL or CSV file."""
        for path in self.files():
            for where, fields in read_table(path):
                yield Row(where, fields)

    def json(self) -> Iterator[tuple[Path, Any]]:
        """Yield every JSON file's content. Raises: ConfigError."""
        for path in self.files():
            try:
                yield path, json.loads(read_text(path))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}: not valid JSON: {error}", "copy the published file again") from error


def template(text: str) -> str:
    """Return a text without numbers, case and punctuation: what variations of one problem share.

    >>> template("Joan found 70 seashells on the beach .") == template("Joan found 27 seashells on the beach.")
    True
    """
    return re.sub(r"\d+(?:\.\d+)?", "#", re.sub(r"[^\w.]+|(?<!\d)\.|\.(?!\d)", " ", text.casefold()).strip())
