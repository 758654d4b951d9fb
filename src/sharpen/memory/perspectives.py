"""Collections of passages, one per perspective, and retrieval in which each of them is heard.

In: passages by perspective, and questions. Out: passages with their perspective. Must not know what they are used for.

What was added lies in a JSON Lines file per perspective, which is the truth; the vector store that `[memory] vectors`
names holds a copy, in a collection of its own, which is made again where it is missing rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharpen.config import Config
from sharpen.durable import write_text
from sharpen.errors import NotFound, Refused
from sharpen.fairness.coverage import Cover, cover
from sharpen.memory.vectors import Entry, VectorIndex
from sharpen.models.embeddings import Embedder
from sharpen.records import content_hash

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LONGEST = 20_000  # characters of a passage
_PER_PLACE = 4  # chosen: candidates of each perspective, in times of what is shown


class Passage(NamedTuple):
    """One passage, where it is from, and what may be done with it."""

    id: str
    text: str
    source: str = ""
    licence: str = ""


class Told(NamedTuple):
    """A passage that was found."""

    passage: Passage
    perspective: str
    relevance: float  # cosine


class Added(NamedTuple):
    """What became of the rows of an import."""

    added: int
    known: int
    problems: tuple[str, ...]


class Collections:
    """The collections of one workspace. `Collections(config)` opens nothing before it is asked."""

    def __init__(self, config: Config, embedder: Embedder | None = None) -> None:
        self._config, self._embedder = config, embedder
        self._folder = config.home / "perspectives"
        self._indexes: dict[str, VectorIndex] = {}

    def names(self) -> list[str]:
        """Return the perspectives that have a collection."""
        return sorted(path.stem for path in self._folder.glob("*.jsonl"))

    def passages(self, name: str) -> dict[str, Passage]:
        """Return a collection's passages by id. Raises: NotFound."""
        path = self._path(name)
        if not path.is_file():
            raise NotFound(f"There is no perspective collection '{name}'.", f"sharpen perspectives add {name} FILE")
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return {one.id: one for one in (Passage(**row) for row in rows)}

    def add(self, name: str, rows: Iterable[object]) -> Added:
        """Add rows ({"text": ..., "source": ..., "licence": ...} or plain texts); equal texts are one passage.

        Rows that cannot be used are told, not dropped in silence. Raises: Refused for a name that cannot be used.
        """
        kept = self.passages(name) if self._path(name).is_file() else {}
        before, problems, count = len(kept), [], 0
        for number, row in enumerate(rows, 1):
            told = {"text": row} if isinstance(row, str) else row
            text = told.get("text") if isinstance(told, dict) else None
            if not isinstance(told, dict) or not isinstance(text, str) or not text.strip():
                problems.append(f"row {number}: no text")
                continue
            count += 1
            one = Passage(
                f"psg_{content_hash((name, text))}",
                text[:_LONGEST],
                *(str(told.get(key) or "") for key in ("source", "licence")),
            )
            kept.setdefault(one.id, one)
        if len(kept) > before:
            self._folder.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(one._asdict(), ensure_ascii=False) for one in kept.values())
            write_text(self._path(name), "".join(f"{line}\n" for line in lines))
            self._filled(name, kept)
        return Added(len(kept) - before, count - (len(kept) - before), tuple(problems))

    def search(self, name: str, question: str, k: int) -> list[Told]:
        """Return the passages of one collection that are closest to a question. Raises: NotFound; StoreError."""
        kept = self.passages(name)
        hits = self._filled(name, kept).search(question, k)
        return [Told(kept[hit.id], name, hit.score) for hit in hits if hit.id in kept]

    def texts(self, name: str, question: str, k: int) -> Sequence[str]:
        """Return the closest passages as texts, none where the collection is not there yet."""
        return [one.passage.text for one in self.search(name, question, k)] if name in self.names() else ()

    def heard(self, question: str, k: int, *, floors: dict[str, int] | None = None) -> tuple[list[Told], Cover]:
        """Return up to `k` passages among which every perspective with something relevant is heard.

        Raises: Refused when the floors are more than `k`.
        """
        found = [one for name in self.names() for one in self.search(name, question, _PER_PLACE * k)]
        chosen = cover(np.array([one.relevance for one in found]), [one.perspective for one in found], k, floors=floors)
        return [found[at] for at in chosen.chosen], chosen

    def audit(self, questions: Sequence[str], k: int = 10) -> dict[str, float]:
        """Return per perspective the share of questions on which it has something relevant to say."""
        if not questions:
            raise Refused("An audit needs questions.", "give a file with one per line")
        heard = [self.heard(question, max(k, len(self.names())))[1].heard for question in questions]
        return {name: sum(name in one for one in heard) / len(heard) for name in self.names()}

    def close(self) -> None:
        """Give files and connections back."""
        for index in self._indexes.values():
            index.close()

    def _filled(self, name: str, kept: dict[str, Passage]) -> VectorIndex:
        index = self._indexes.get(name)
        if index is None:
            index = VectorIndex.of(self._config, self._embedder, tenant=f"perspective {name}")
            self._indexes[name] = index
        if len(index) < len(kept):
            index.upsert([Entry(one.id, one.text, "document") for one in kept.values()])
        return index

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Refused(f"'{name[:50]}' cannot be the name of a perspective.", "lower-case letters, digits and _")
        return self._folder / f"{name}.jsonl"


def collections_of(config: Config) -> Collections:
    """Return the collections of the configuration's workspace."""
    return Collections(config)
