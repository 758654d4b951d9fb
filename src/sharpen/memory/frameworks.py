"""sharpen's own memory inside other frameworks: a LlamaIndex index, a Haystack pipeline.

In: memories, and for LlamaIndex an embedder. Out: their objects, holding copies of the texts. Must not know what is
asked of them. The one door to both libraries.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from sharpen.memory.search import searched
from sharpen.models.embeddings import Embedder, readable
from sharpen.plugins import part
from sharpen.records import Memory


def llama_index(memories: Iterable[Memory], embedder: Embedder) -> Any:
    """Return a LlamaIndex `VectorStoreIndex` over memories, embedded by `embedder`. Raises: MissingExtra.

    A node's id is the memory's; its text is what the memory says, and it is found by what the memory is found by.
    """
    core, schema = part("llama_index.core"), part("llama_index.core.schema")
    kept = list(memories)
    vectors = embedder.embed_documents([readable(searched(memory)) for memory in kept])
    nodes = [
        schema.TextNode(id_=memory.id, text=readable(memory.reply), metadata=_said(memory), embedding=vector)
        for memory, vector in zip(kept, vectors, strict=True)
    ]
    return core.VectorStoreIndex(nodes=nodes, embed_model=_embedding(embedder))


def haystack(memories: Iterable[Memory], top_k: int = 5) -> Any:
    """Return a Haystack `Pipeline` that finds memories by their words (BM25). Its input is `retriever.query`.

    Raises: MissingExtra.
    """
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    library = part("haystack")
    documents = [
        library.Document(id=memory.id, content=readable(memory.reply), meta=_said(memory)) for memory in memories
    ]
    store = part("haystack.document_stores.in_memory").InMemoryDocumentStore()
    store.write_documents(documents)
    pipeline = library.Pipeline()
    retrievers = part("haystack.components.retrievers.in_memory")
    pipeline.add_component("retriever", retrievers.InMemoryBM25Retriever(store, top_k=top_k))
    return pipeline


def _said(memory: Memory) -> dict[str, str]:
    return {"type": memory.type, "evidence": " ".join(memory.evidence), "tenant": memory.tenant}


def _embedding(embedder: Embedder) -> Any:
    """Return our embedder as one of LlamaIndex's."""
    embedding: Any = part("llama_index.core.embeddings").BaseEmbedding

    class _Embedding(embedding):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return embedder.embed_query(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return embedder.embed_query(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return embedder.embed_documents([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return embedder.embed_documents(texts)

    return _Embedding(model_name=embedder.key)
