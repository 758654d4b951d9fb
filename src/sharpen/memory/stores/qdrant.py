"""Qdrant: its local mode in a folder, or a server.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.memory.stores import KEYS, Equalities, Metadata, Place
from sharpen.plugins import part


def open_store(place: Place) -> QdrantStore:
    """Open, or make, the collection."""
    return QdrantStore(place)


class QdrantStore:
    """A collection in Qdrant."""

    def __init__(self, place: Place) -> None:
        qdrant = part("qdrant_client")
        self._models = qdrant.models
        if place.url:
            self._client = qdrant.QdrantClient(url=place.url, api_key=place.api_key or None)
        else:
            place.folder.mkdir(parents=True, exist_ok=True)
            self._client = qdrant.QdrantClient(path=str(place.folder))
        self._collection = place.collection
        if not self._client.collection_exists(place.collection):
            vectors = self._models.VectorParams(size=place.dimension, distance=self._models.Distance.COSINE)
            self._client.create_collection(place.collection, vectors_config=vectors)
            if place.url:  # the local mode has no payload indexes and warns
                for key, kind in KEYS.items():
                    schema = self._models.PayloadSchemaType.BOOL if kind is bool else "keyword"
                    self._client.create_payload_index(place.collection, f"metadata.{key}", schema)
        if not place.url:
            self._write_fast()
        self.langchain = part("langchain_qdrant").QdrantVectorStore(
            client=self._client,
            collection_name=place.collection,
            embedding=place.embeddings,
            validate_embeddings=False,
            validate_collection_config=False,
        )

    def _write_fast(self) -> None:
        """Let the local mode write without waiting for the disk at each row: 300 times as fast here.

        The index is a copy that can be rebuilt; after a power cut, it may have to be.
        """
        local = self._client._client.collections[self._collection]
        local.storage.storage.execute("PRAGMA synchronous=OFF")
        local.storage.storage.execute("PRAGMA journal_mode=MEMORY")

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows."""
        self.langchain.add_texts(list(texts), list(metadatas), ids=list(ids), batch_size=1000)

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        self.langchain.delete(list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; Qdrant gives the cosine."""
        equal = [
            self._models.FieldCondition(key=f"metadata.{key}", match=self._models.MatchValue(value=value))
            for key, value in where.items()
        ]
        found = self.langchain.similarity_search_with_score(
            text, k, filter=self._models.Filter(must=equal) if equal else None
        )
        return [(document.metadata, document.page_content, cosine) for document, cosine in found]

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self._client.count(self._collection).count)

    def drop(self) -> None:
        """Delete the collection."""
        self._client.delete_collection(self._collection)

    def close(self) -> None:
        """Give the files and connections back."""
        self._client.close()
