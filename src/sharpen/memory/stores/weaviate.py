"""Weaviate: a server, over REST and gRPC.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sharpen.errors import ConfigError, StoreError
from sharpen.memory.stores import KEYS, Equalities, Metadata, Place
from sharpen.plugins import part

_TEXT = "text"
_GRPC_PORT = 50051  # Weaviate's own default


def open_store(place: Place) -> WeaviateStore:
    """Open, or make, the collection."""
    return WeaviateStore(place)


class WeaviateStore:
    """A collection in Weaviate, with vectors of our own making."""

    def __init__(self, place: Place) -> None:
        if not place.url:
            raise ConfigError(
                "[memory] vectors = 'weaviate' needs the address of a server.",
                'url = "http://127.0.0.1:8080?grpc_port=50051", in [memory]',
            )
        weaviate = part("weaviate")
        self._classes = part("weaviate.classes")
        url = urlsplit(place.url)
        is_secure = url.scheme == "https"
        self._client = weaviate.connect_to_custom(
            http_host=url.hostname,
            http_port=url.port or (443 if is_secure else 8080),
            http_secure=is_secure,
            grpc_host=url.hostname,
            grpc_port=int(parse_qs(url.query).get("grpc_port", [_GRPC_PORT])[0]),
            grpc_secure=is_secure,
            auth_credentials=weaviate.auth.AuthApiKey(place.api_key) if place.api_key else None,
        )
        self._name = place.collection
        self._embeddings = place.embeddings
        if not self._client.collections.exists(place.collection):
            self._make(place.collection)
        self.langchain = part("langchain_weaviate").WeaviateVectorStore(
            self._client, place.collection, _TEXT, embedding=place.embeddings, attributes=list(KEYS)
        )

    def _make(self, name: str) -> None:
        configure = self._classes.config
        kinds = {str: configure.DataType.TEXT, bool: configure.DataType.BOOL}
        # One token per value: Weaviate would otherwise filter by words.
        whole = {str: {"tokenization": configure.Tokenization.FIELD}, bool: {}}
        self._client.collections.create(
            name,
            vector_config=configure.Configure.Vectors.self_provided(
                vector_index_config=configure.Configure.VectorIndex.hnsw(
                    distance_metric=configure.VectorDistances.COSINE
                )
            ),
            properties=[
                configure.Property(name=_TEXT, data_type=configure.DataType.TEXT),
                *(configure.Property(name=key, data_type=kinds[kind], **whole[kind]) for key, kind in KEYS.items()),
            ],
        )

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows. Raises: StoreError for rows that Weaviate refused; LangChain would only log them."""
        self.langchain.add_texts(list(texts), list(metadatas), ids=list(ids))
        failed = self._client.batch.failed_objects
        if failed:
            raise StoreError(f"Weaviate refused {len(failed)} of {len(ids)} rows: {failed[0].message}")

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        if ids:
            self.langchain.delete(list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; Weaviate gives the cosine distance.

        Asked of the client itself: LangChain's search gives the score of a fusion of ranks, which is no distance.
        """
        query = self._classes.query
        each = [query.Filter.by_property(key).equal(value) for key, value in where.items()]
        found = self._client.collections.get(self._name).query.near_vector(
            self._embeddings.embed_query(text),
            limit=k,
            filters=query.Filter.all_of(each) if each else None,
            return_metadata=query.MetadataQuery(distance=True),
        )
        rows = [(dict(one.properties), one.metadata.distance) for one in found.objects]
        return [(row, str(row.pop(_TEXT, "")), 1 - distance) for row, distance in rows]

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self._client.collections.get(self._name).aggregate.over_all(total_count=True).total_count)

    def drop(self) -> None:
        """Delete the collection."""
        self._client.collections.delete(self._name)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
