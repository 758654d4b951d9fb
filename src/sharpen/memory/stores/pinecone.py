"""Pinecone: an index at its own address; the collection is a namespace in it.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.errors import ConfigError
from sharpen.memory.stores import Equalities, Metadata, Place
from sharpen.plugins import part

_ROWS = 100  # chosen: with 384 numbers a row stays far below Pinecone's 2 MB per request, and so with 1,536


def open_store(place: Place) -> PineconeStore:
    """Open the namespace; the index must be there, with the cosine metric and the embedder's dimension."""
    return PineconeStore(place)


class PineconeStore:
    """A namespace in a Pinecone index."""

    def __init__(self, place: Place) -> None:
        if not place.url:
            raise ConfigError(
                "[memory] vectors = 'pinecone' needs the address of your index.",
                'url = "https://NAME-PROJECT.svc.REGION.pinecone.io", in [memory]',
            )
        if not place.api_key:
            raise ConfigError(
                "[memory] vectors = 'pinecone' needs a key.",
                "put it into the environment variable that [memory] api_key_env names",
            )
        client = part("pinecone").Pinecone(api_key=place.api_key)
        self._index = client.Index(host=place.url)
        self._namespace = place.collection
        self.langchain = part("langchain_pinecone").PineconeVectorStore(
            index=self._index, embedding=place.embeddings, namespace=place.collection
        )

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows."""
        for start in range(0, len(ids), _ROWS):
            some = slice(start, start + _ROWS)
            rows = [dict(row) for row in metadatas[some]]  # LangChain puts the text into them
            self.langchain.add_texts(list(texts[some]), rows, ids=list(ids[some]), async_req=False)

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        if ids:
            self.langchain.delete(list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; Pinecone gives the cosine."""
        equal = {key: {"$eq": value} for key, value in where.items()} or None
        found = self.langchain.similarity_search_with_score(text, k, filter=equal)
        return [(document.metadata, document.page_content, cosine) for document, cosine in found]

    def count(self) -> int:
        """Return how many rows there are."""
        space = self._index.describe_index_stats().namespaces.get(self._namespace)
        return int(space.vector_count) if space else 0

    def drop(self) -> None:
        """Delete the namespace."""
        if self.count():  # Pinecone answers 'not found' for a namespace that holds nothing
            self.langchain.delete(delete_all=True)

    def close(self) -> None:
        """Give the connections back."""
        self._index.close()
