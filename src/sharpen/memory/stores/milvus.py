"""Milvus: Milvus Lite in a file, or a server.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.memory.stores import Equalities, Metadata, Place
from sharpen.plugins import part

_SELDOM = {"grpc.keepalive_time_ms": 300_000, "grpc.keepalive_permit_without_calls": 0}  # gRPC servers' own default


def open_store(place: Place) -> MilvusStore:
    """Open, or make, the collection."""
    return MilvusStore(place)


class MilvusStore:
    """A collection in Milvus. LangChain makes it with the first rows."""

    def __init__(self, place: Place) -> None:
        if not place.url:
            place.folder.mkdir(parents=True, exist_ok=True)
        connection: dict[str, Any] = {"uri": place.url or str(place.folder / "milvus.db")}
        if place.url:  # the client pings every 10 s; a gRPC server hangs up on one that does so while nothing runs
            connection["grpc_options"] = _SELDOM
        if place.api_key:
            connection["token"] = place.api_key
        self._collection = place.collection
        self._document = part("langchain_core.documents").Document
        self.langchain = part("langchain_milvus").Milvus(
            place.embeddings,
            collection_name=place.collection,
            connection_args=connection,
            index_params={"index_type": "FLAT", "metric_type": "COSINE"},
            consistency_level="Strong",
            auto_id=False,
        )

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows."""
        if not self._exists():
            self.langchain.add_texts(list(texts), list(metadatas), ids=list(ids))
            return
        documents = [
            self._document(page_content=text, metadata=row) for text, row in zip(texts, metadatas, strict=True)
        ]
        self.langchain.upsert(ids=list(ids), documents=documents)

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        if self._exists():
            self.langchain.client.delete(self._collection, ids=list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; Milvus gives the cosine.

        Its filters are text, and Milvus Lite takes no parameters in it. The names are ours; the values are booleans,
        or words of letters, digits, '-' and '_', as `memory/vectors.py` has checked.
        """
        if not self._exists():
            return []
        equal = " and ".join(f"{key} == {json.dumps(value)}" for key, value in where.items())
        found = self.langchain.similarity_search_with_score(text, k, expr=equal or None)
        return [(document.metadata, document.page_content, cosine) for document, cosine in found]

    def count(self) -> int:
        """Return how many rows there are."""
        if not self._exists():
            return 0
        rows = self.langchain.client.query(self._collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def drop(self) -> None:
        """Delete the collection."""
        self.langchain.client.drop_collection(self._collection)

    def close(self) -> None:
        """Give the files and connections back."""
        self.langchain.client.close()

    def _exists(self) -> bool:
        return bool(self.langchain.client.has_collection(self._collection))
