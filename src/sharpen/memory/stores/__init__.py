"""The vector stores, one file each: what differs between them, behind one protocol.

In: rows (id, text, metadata) whose values are checked already. Out: rows and their cosine. Must not know tenants, or
what a row means.

Every file has `open_store`. It reaches the store through its LangChain `VectorStore`, embeds with the given embedder,
and gives scores as cosine similarity, higher is closer. A filter is a mapping of equalities, turned into the store's
own objects; the values were checked in `memory/vectors.py`, and no text of a person or a model is ever among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Metadata = dict[str, str | bool]
Equalities = Mapping[str, str | bool]
KEYS: dict[str, type] = {"memory_id": str, "tenant": str, "type": str, "about": str, "good": bool}


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows live."""

    collection: str
    embeddings: Any  # LangChain's Embeddings
    dimension: int
    folder: Path  # of embedded stores
    url: str = ""  # of a server; empty: embedded
    api_key: str = field(default="", repr=False)


class Backend(Protocol):
    """One collection in one store. Errors are the store's own; the caller turns them into ours."""

    langchain: Any
    """The LangChain VectorStore, for those who want to build on it."""

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows; a row whose id is there is replaced. The ids are UUIDs and distinct."""
        ...

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows; an id that is not there is no error."""
        ...

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return up to `k` (metadata, text, cosine), closest first."""
        ...

    def count(self) -> int:
        """Return how many rows there are."""
        ...

    def drop(self) -> None:
        """Delete the collection with all its rows. The backend is of no use after it."""
        ...

    def close(self) -> None:
        """Give files and connections back."""
        ...
