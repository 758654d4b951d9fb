"""Names in the configuration become callables, and missing parts become a line to type.

In: a module's name. Out: the module, or MissingExtra. Must not know what is done with it.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from sharpen.errors import MissingExtra

EXTRAS = {
    "dbos": "loop",
    "langgraph": "loop",
    "langchain_core": "loop",
    "rensa": "loop",
    "rapidfuzz": "loop",
    "pandas": "curation",
    "fsspec": "curation",
    "semhash": "curation",
    "cleanlab": "curation",
    "fugue": "dask",
    "distributed": "dask",
    "pyspark": "spark",
    "ray": "ray",
    "langchain_openai": "openai",
    "torch": "torch",
    "transformers": "torch",
    "gguf": "torch",
    "peft": "train",
    "trl": "train",
    "datasets": "train",
    "mlflow": "tracking",
    "reasoning_gym": "suites",
    "pyarrow": "suites",
    "jsonschema": "suites",
    "referencing": "suites",
    "regex": "suites",
    "evaluate": "metrics",
    "ragas": "ragas",
    "langsmith": "langsmith",
    "wandb": "wandb",
    "xllamacpp": "llamacpp",
    "matplotlib": "report",
    "openai": "report",
    "sentence_transformers": "memory",
    "chromadb": "memory",
    "langchain_chroma": "memory",
    "qdrant_client": "qdrant",
    "langchain_qdrant": "qdrant",
    "langchain_postgres": "pgvector",
    "pymilvus": "milvus",
    "langchain_milvus": "milvus",
    "weaviate": "weaviate",
    "langchain_weaviate": "weaviate",
    "pinecone": "pinecone",
    "langchain_pinecone": "pinecone",
    "hnswlib": "bench",
    "datasketch": "bench",
    "sklearn": "report",
    "psycopg": "postgres",
    "ladybug": "graphs",
    "neo4j": "neo4j",
    "pydgraph": "dgraph",
    "grpc": "dgraph",
    "gremlin_python": "janusgraph",
    "llama_index": "llama-index",
    "haystack": "haystack",
}


def part(module: str) -> ModuleType:
    """Import a heavy library at the moment it is needed. Raises: MissingExtra with the line to type."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        raise MissingExtra(top, EXTRAS.get(top, "all")) from error


def present(module: str) -> None:
    """Tell whether a library that only a child process imports is there. Raises: MissingExtra, as `part` does."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(module, EXTRAS.get(module, "all"))
