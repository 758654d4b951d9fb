"""Chroma: embedded in a folder (the default), or a server.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sharpen.memory.stores import Equalities, Metadata, Place
from sharpen.plugins import part

_ROWS = 5_000  # chosen: below Chroma's own limit per call (5,461 with the SQLite it ships)
# chosen: Chroma's defaults, said aloud, because the recall that we promise rests on them.
_HNSW = {"space": "cosine", "ef_construction": 100, "ef_search": 100, "max_neighbors": 16}


def open_store(place: Place) -> ChromaStore:
    """Open, or make, the collection."""
    return ChromaStore(place)


class ChromaStore:
    """A collection in Chroma."""

    def __init__(self, place: Place) -> None:
        chromadb = part("chromadb")
        settings = part("chromadb.config").Settings(anonymized_telemetry=False)
        if place.url:
            url = urlsplit(place.url)
            headers = {"x-chroma-token": place.api_key} if place.api_key else None
            self._client = chromadb.HttpClient(
                host=url.hostname,
                port=url.port or (443 if url.scheme == "https" else 8000),
                ssl=url.scheme == "https",
                headers=headers,
                settings=settings,
            )
        else:
            place.folder.mkdir(parents=True, exist_ok=True)
            self._client = chromadb.PersistentClient(str(place.folder), settings=settings)
        self._collection = place.collection
        self.langchain = part("langchain_chroma").Chroma(
            place.collection,
            place.embeddings,
            client=self._client,
            collection_configuration={"hnsw": _HNSW},
        )

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows."""
        for start in range(0, len(ids), _ROWS):
            some = slice(start, start + _ROWS)
            self.langchain.add_texts(list(texts[some]), list(metadatas[some]), ids=list(ids[some]))

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        self.langchain.delete(list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; Chroma gives the cosine distance."""
        each = [{key: {"$eq": value}} for key, value in where.items()]
        equal = {"$and": each} if len(each) > 1 else each[0] if each else None
        found = self.langchain.similarity_search_with_score(text, k, filter=equal)
        return [(document.metadata, document.page_content, 1 - distance) for document, distance in found]

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self._client.get_collection(self._collection, embedding_function=None).count())

    def drop(self) -> None:
        """Delete the collection."""
        self._client.delete_collection(self._collection)

    def close(self) -> None:
        """Give the files back."""
        self._client.close()
