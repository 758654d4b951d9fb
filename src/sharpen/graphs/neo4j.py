"""The backend for Neo4j, and for any other database that speaks its Bolt protocol and Cypher.

In: rows. Out: rows. Must not know what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sharpen.errors import StoreError
from sharpen.graphs import cypher
from sharpen.graphs.graph_store import Direction, EdgeRow, NodeRow
from sharpen.plugins import part

_UNIQUE = "CREATE CONSTRAINT sharpen_key IF NOT EXISTS FOR (n:SharpenNode) REQUIRE n.key IS UNIQUE"
_WAIT_S = 15.0  # chosen: a server that starts with us answers within this


class Neo4j:
    """A database behind `bolt://`, `neo4j://` or their encrypted forms. Raises: StoreError; MissingExtra."""

    def __init__(self, url: str, user: str, password: str, database: str | None = None) -> None:
        self._library = part("neo4j")
        self._database = database
        try:
            self._driver = self._library.GraphDatabase.driver(
                url, auth=(user, password), connection_timeout=_WAIT_S, max_transaction_retry_time=_WAIT_S
            )
        except (ValueError, self._library.exceptions.Neo4jError) as error:
            raise StoreError(f"The graph's address cannot be used: {error}", "bolt://HOST:7687") from error
        try:
            self._run(_UNIQUE)
        except StoreError:
            self.close()
            raise

    def put_nodes(self, rows: Sequence[NodeRow]) -> None:
        """Write nodes by key."""
        self._run(cypher.PUT_NODES, rows=[row._asdict() for row in rows])

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Write edges by (source, kind, target)."""
        self._run(cypher.PUT_EDGES, rows=[row._asdict() for row in rows])

    def get_nodes(self, tenant: str, keys: Sequence[str]) -> list[NodeRow]:
        """Return those of the nodes that are there."""
        return [NodeRow(**row) for row in self._run(cypher.GET_NODES, tenant=tenant, keys=list(keys))]

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[NodeRow]:
        """Return nodes of a kind behind a key."""
        return [NodeRow(**row) for row in self._run(cypher.PAGE, tenant=tenant, kind=kind, after=after, limit=limit)]

    def edges_of(
        self, tenant: str, keys: Sequence[str], kinds: Sequence[str], direction: Direction, limit: int
    ) -> list[EdgeRow]:
        """Return the edges at the nodes."""
        query = cypher.EDGES_OUT if direction == "out" else cypher.EDGES_IN
        found = self._run(query, tenant=tenant, keys=list(keys), kinds=list(kinds), limit=limit)
        return [EdgeRow(**row) for row in found]

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        """Remove nodes and every edge at them."""
        self._run(cypher.REMOVE, tenant=tenant, keys=list(keys))

    def count(self, tenant: str) -> tuple[int, int]:
        """Return how many nodes and edges the tenant has."""
        ((nodes,),) = (row.values() for row in self._run(cypher.COUNT_NODES, tenant=tenant))
        ((edges,),) = (row.values() for row in self._run(cypher.COUNT_EDGES, tenant=tenant))
        return int(nodes), int(edges)

    def close(self) -> None:
        """Give the connections back."""
        self._driver.close()

    def _run(self, query: str, **values: Any) -> list[dict[str, Any]]:
        failures = self._library.exceptions
        try:
            done = self._driver.execute_query(query, values, database_=self._database)
            return [record.data() for record in done.records]
        except (failures.Neo4jError, failures.DriverError, OSError) as error:
            raise StoreError(
                f"The graph database failed: {error}", "is it running, and is the password right?"
            ) from error
