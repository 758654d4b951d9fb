"""pgvector: a table in PostgreSQL.

In and out: as `memory/stores/__init__.py` says. Must not know tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.errors import ConfigError
from sharpen.memory.stores import KEYS, Equalities, Metadata, Place
from sharpen.plugins import part


def open_store(place: Place) -> PgvectorStore:
    """Open, or make, the table."""
    return PgvectorStore(place)


class PgvectorStore:
    """A table with a vector column. Searches are exact: pgvector compares every row of the tenant."""

    def __init__(self, place: Place) -> None:
        if not place.url.startswith("postgresql"):
            raise ConfigError(
                "[memory] vectors = 'pgvector' needs the address of a PostgreSQL.",
                'url = "postgresql+psycopg://user@host/database", in [memory]',
            )
        sa, postgres = part("sqlalchemy"), part("langchain_postgres")
        part("psycopg")
        # A commit need not wait for the disk: the table is a copy that can be rebuilt.
        arguments = {"options": "-c synchronous_commit=off"}
        self._engine = sa.create_engine(place.url, connect_args=arguments)
        self._table = sa.Table(place.collection, sa.MetaData())
        self._sa = sa
        with self._engine.begin() as connection:
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS vector"))
        self._pool = postgres.PGEngine.from_connection_string(place.url, connect_args=arguments)
        if not sa.inspect(self._engine).has_table(place.collection):
            kinds = {str: "TEXT", bool: "BOOLEAN"}
            self._pool.init_vectorstore_table(
                place.collection,
                place.dimension,
                metadata_columns=[postgres.Column(key, kinds[kind]) for key, kind in KEYS.items()],
                store_metadata=False,
            )
        self.langchain = postgres.PGVectorStore.create_sync(
            self._pool, place.embeddings, place.collection, metadata_columns=list(KEYS), metadata_json_column=None
        )

    def put(self, ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Metadata]) -> None:
        """Write rows."""
        self.langchain.add_texts(list(texts), list(metadatas), ids=list(ids))

    def take(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        if ids:
            self.langchain.delete(list(ids))

    def nearest(self, text: str, k: int, where: Equalities) -> list[tuple[Mapping[str, Any], str, float]]:
        """Return the closest rows; pgvector gives the cosine distance."""
        equal = {"$and": [{key: {"$eq": value}} for key, value in where.items()]} if where else None
        found = self.langchain.similarity_search_with_score(text, k, filter=equal)
        return [(document.metadata, document.page_content, 1 - distance) for document, distance in found]

    def count(self) -> int:
        """Return how many rows there are."""
        query = self._sa.select(self._sa.func.count()).select_from(self._table)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def drop(self) -> None:
        """Delete the table."""
        with self._engine.begin() as connection:
            self._table.drop(connection, checkfirst=True)

    def close(self) -> None:
        """Give the connections back."""
        self._pool._run_as_sync(self._pool.close())
        self._engine.dispose()
