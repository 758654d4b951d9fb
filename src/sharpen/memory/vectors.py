"""What is remembered, found by meaning: one tenant's rows in the vector store that the configuration names.

In: memories as text, and typed filters. Out: ids with a score: the cosine, higher is closer, the same scale in every
store. Must not know what is done with them.

The SQL store is the truth; what lies here is a copy that can be made again at any time. This is the one place that
keeps tenants apart: each tenant has a collection of its own, named by a hash, every row's id is hashed together with
the tenant, and a row that names another tenant is never given out. Nothing that a person or a model wrote is part of a
query: a filter holds booleans, one of our own words, or a hash.
"""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, get_args

from sharpen.config import Config
from sharpen.errors import Refused, SharpenError, StoreError
from sharpen.memory.stores import Backend, Metadata, Place
from sharpen.models.embedding_cache import EmbeddingCache
from sharpen.models.embeddings import Embedder, SentenceEmbedder, as_langchain, readable
from sharpen.records import MemoryType, content_hash

MOST = 1_000  # chosen: rows per search; every store gives as many, and no prompt holds more
LONGEST = 4_000  # chosen: characters kept beside a vector; embedding models read less, Pinecone holds 40 kB
_ROWS_AT_ONCE = 1_000  # chosen: rows embedded and written together


class Entry(NamedTuple):
    """A memory as the index holds it."""

    id: str
    text: str
    type: MemoryType
    about: str = ""  # the record it is chiefly about
    good: bool = True


class Hit(NamedTuple):
    """A row that was found."""

    id: str
    score: float  # cosine, -1 to 1
    type: str


class Index(Protocol):
    """Rows by meaning. `VectorIndex` is one."""

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Write rows."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        ...

    def search(
        self, text: str, k: int, *, type: MemoryType | None = None, about: str | None = None, good: bool | None = None
    ) -> list[Hit]:
        """Return the closest rows."""
        ...


def embedder_of(config: Config) -> SentenceEmbedder:
    """Return the embedding model that the configuration names, with its cache in `home`. Raises: ConfigError."""
    settings = config.memory
    return SentenceEmbedder(
        settings.embeddings,
        query_prompt=settings.query_prompt,
        passage_prompt=settings.passage_prompt,
        cache=EmbeddingCache(config.home / "embeddings.db"),
    )


class VectorIndex:
    """One tenant's rows in one vector store.

    `open_store` makes the backend; it is called again after `clear`. Raises: StoreError when the store fails.
    """

    def __init__(
        self,
        open_store: Callable[[Place], Backend],
        embedder: Embedder,
        *,
        tenant: str,
        folder: Path,
        url: str = "",
        api_key: str = "",
    ) -> None:
        self._open_store = open_store
        self._embedder = embedder
        self._tenant = content_hash(("tenant", tenant), 32)
        self._folder, self._url, self._api_key = folder, url, api_key
        self._backend: Backend | None = None

    @classmethod
    def of(cls, config: Config, embedder: Embedder | None = None, *, tenant: str | None = None) -> VectorIndex:
        """Return the index that the configuration names; nothing is opened before its first use."""
        settings = config.memory
        url = settings.url
        if not url and settings.vectors == "pgvector" and config.store_url.startswith("postgresql"):
            url = config.store_url
        return cls(
            lambda place: cast(
                Backend, importlib.import_module(f"sharpen.memory.stores.{settings.vectors}").open_store(place)
            ),
            embedder or embedder_of(config),
            tenant=settings.tenant if tenant is None else tenant,
            folder=config.home / "vectors" / settings.vectors,
            url=url,
            api_key=os.environ.get(settings.api_key_env, ""),
        )

    @property
    def langchain(self) -> Any:
        """The LangChain `VectorStore` of this tenant's collection."""
        with self._guard() as backend:
            return backend.langchain

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Write rows; one whose id is there is replaced. Of two with one id in `entries`, the last counts."""
        rows = list({entry.id: entry for entry in entries}.values())
        with self._guard() as backend:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[start : start + _ROWS_AT_ONCE]
                backend.put(
                    [self._row_id(row.id) for row in some],
                    [_kept(row.text) for row in some],
                    [self._metadata(row) for row in some],
                )

    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows; an id that is not there, or is another tenant's, is no error and changes nothing."""
        rows = [self._row_id(one) for one in dict.fromkeys(ids)]
        with self._guard() as backend:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                backend.take(rows[start : start + _ROWS_AT_ONCE])

    def search(
        self,
        text: str,
        k: int,
        *,
        type: MemoryType | None = None,
        about: str | None = None,
        good: bool | None = None,
    ) -> list[Hit]:
        """Return up to `k` rows that are closest in meaning, closest first; what is given must be equal.

        Raises: Refused when a filter is not of its type.
        """
        where = _checked(type, about, good)
        if k <= 0:
            return []
        with self._guard() as backend:
            found = backend.nearest(_kept(text), min(k, MOST), where)
        hits = [
            Hit(str(row["memory_id"]), float(score), str(row["type"]))
            for row, _, score in found
            if row.get("tenant") == self._tenant
        ]
        return sorted(hits, key=lambda hit: (-round(hit.score, 6), hit.id))

    def __len__(self) -> int:
        with self._guard() as backend:
            return backend.count()

    def clear(self) -> None:
        """Delete every row of this tenant."""
        with self._guard() as backend:
            backend.drop()
        self.close()

    def close(self) -> None:
        """Give files and connections back; the next use opens them again."""
        if self._backend is not None:
            backend, self._backend = self._backend, None
            backend.close()

    def _row_id(self, memory_id: str) -> str:
        """Return a UUID that stands for this id of this tenant: nobody else's row can have it."""
        return str(uuid.UUID(content_hash((self._tenant, memory_id), 32)))

    def _metadata(self, entry: Entry) -> Metadata:
        return {
            "memory_id": readable(entry.id),
            "tenant": self._tenant,
            "good": bool(entry.good),
            **_checked(entry.type, entry.about, None),
        }

    @contextmanager
    def _guard(self) -> Iterator[Backend]:
        """Open the store if need be, and turn what it raises into an error that says what to do."""
        try:
            if self._backend is None:
                # Vectors of two models never meet: a change of model is another collection, empty until a rebuild.
                name = f"Sharpen_{content_hash((self._tenant, self._embedder.key), 24)}"
                self._backend = self._open_store(
                    Place(
                        name,
                        as_langchain(self._embedder),
                        self._embedder.dimension,
                        self._folder,
                        self._url,
                        self._api_key,
                    )
                )
            yield self._backend
        except SharpenError:
            raise
        except Exception as error:  # every store has a tree of errors of its own
            cause = str(error).partition("\n")[0][:300] or error.__class__.__name__
            raise StoreError(
                f"The vector store failed ({error.__class__.__name__}): {cause}",
                "check [memory] vectors and url; `sharpen memory rebuild` makes the index again",
            ) from error


def _checked(type: MemoryType | None, about: str | None, good: bool | None) -> Metadata:
    """Return a filter, or a row's metadata, that holds nothing but booleans, our own words, and hashes."""
    where: Metadata = {}
    if type is not None:
        if type not in get_args(MemoryType):
            raise Refused(
                f"There is no memory of type {str(type)[:40]!r}.", f"one of {', '.join(get_args(MemoryType))}"
            )
        where["type"] = str(type)
    if about is not None:
        if not isinstance(about, str):
            raise Refused("A memory is about a record's id, which is text.", "pass an id")
        where["about"] = content_hash(("about", about), 32)
    if good is not None:
        if not isinstance(good, bool):
            raise Refused("A memory is good or not: a boolean.", "pass True or False")
        where["good"] = good
    return where


def _kept(text: str) -> str:
    """Return what the stores can hold of a text: no NUL (PostgreSQL), no lone surrogates, not endless, not empty."""
    return readable(text).replace("\x00", " ")[:LONGEST].strip() or "-"
