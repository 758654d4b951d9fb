"""The embedded backend: Ladybug, a graph database in a file, spoken to in Cypher.

In: rows. Out: rows. Must not know what they mean.

Ladybug is the successor of Kùzu; the two register the same native types, so a process that imported `kuzu` cannot
open it. One process has the file open at a time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen.errors import Refused, StoreError
from sharpen.graphs import cypher
from sharpen.graphs.graph_store import Direction, EdgeRow, NodeRow
from sharpen.plugins import part

_POOL_BYTES = 256 * 2**20  # chosen: the engine would take most of the machine's memory, which the model needs
_MOST_BYTES = 2**36  # chosen: 64 GiB of address space; the engine's default of 8 TiB does not fit under a memory limit
_TABLES = (
    "CREATE NODE TABLE IF NOT EXISTS SharpenNode(key STRING PRIMARY KEY, tenant STRING, kind STRING, body STRING)",
    "CREATE REL TABLE IF NOT EXISTS SharpenEdge(FROM SharpenNode TO SharpenNode, tenant STRING, kind STRING, "
    "body STRING)",
)


class Ladybug:
    """A graph in one file. Raises: StoreError when the file cannot be opened or a query fails; MissingExtra."""

    def __init__(self, path: Path) -> None:
        if "kuzu" in sys.modules:
            raise Refused("This process has imported 'kuzu', which cannot live beside 'ladybug'.", "import one of them")
        engine = part("ladybug")
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = engine.Database(path, buffer_pool_size=_POOL_BYTES, max_db_size=_MOST_BYTES)
            self._connection = engine.Connection(self._database)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"The graph {path} cannot be opened: {error}", "does another process use it?") from error
        for statement in _TABLES:
            self._run(statement)

    def put_nodes(self, rows: Sequence[NodeRow]) -> None:
        """Write nodes by key."""
        self._run(cypher.PUT_NODES, rows=[row._asdict() for row in rows])

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Write edges by (source, kind, target)."""
        self._run(cypher.PUT_EDGES, rows=[row._asdict() for row in rows])

    def get_nodes(self, tenant: str, keys: Sequence[str]) -> list[NodeRow]:
        """Return those of the nodes that are there."""
        return [NodeRow(*row) for row in self._run(cypher.GET_NODES, tenant=tenant, keys=list(keys))]

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[NodeRow]:
        """Return nodes of a kind behind a key."""
        return [NodeRow(*row) for row in self._run(cypher.PAGE, tenant=tenant, kind=kind, after=after, limit=limit)]

    def edges_of(
        self, tenant: str, keys: Sequence[str], kinds: Sequence[str], direction: Direction, limit: int
    ) -> list[EdgeRow]:
        """Return the edges at the nodes."""
        query = cypher.EDGES_OUT if direction == "out" else cypher.EDGES_IN
        found = self._run(query, tenant=tenant, keys=list(keys), kinds=list(kinds), limit=limit)
        return [EdgeRow(*row) for row in found]

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        """Remove nodes and every edge at them."""
        self._run(cypher.REMOVE, tenant=tenant, keys=list(keys))

    def count(self, tenant: str) -> tuple[int, int]:
        """Return how many nodes and edges the tenant has."""
        ((nodes,),) = self._run(cypher.COUNT_NODES, tenant=tenant)
        ((edges,),) = self._run(cypher.COUNT_EDGES, tenant=tenant)
        return int(nodes), int(edges)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
        self._database.close()

    def _run(self, query: str, **values: Any) -> list[list[Any]]:
        try:
            with self._lock:
                rows: list[list[Any]] = self._connection.execute(query, values).get_all()
                return rows
        except RuntimeError as error:
            raise StoreError(f"The graph refused a query: {error}", "sharpen doctor") from error
