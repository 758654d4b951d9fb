"""The backend for JanusGraph, and for any other server that runs Gremlin over a websocket.

In: rows. Out: rows. Must not know what they mean.

Every script is a constant, all values are bindings: the server compiles each once. Create a composite index on
`sharpen_key` (unique) and `sharpen_tenant`; without one every look-up reads the whole graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sharpen.errors import StoreError
from sharpen.graphs.graph_store import Direction, EdgeRow, NodeRow
from sharpen.plugins import part

_SAY = "by('sharpen_tenant').by('sharpen_kind').by('sharpen_body')"
PUT_NODE = (
    "g.V().has('sharpen_node', 'sharpen_key', key).fold()"
    ".coalesce(__.unfold(), __.addV('sharpen_node').property('sharpen_key', key))"
    ".property('sharpen_tenant', tenant).property('sharpen_kind', kind).property('sharpen_body', body).iterate()"
)
PUT_EDGE = (
    "g.V().has('sharpen_node', 'sharpen_key', source).as('a').V().has('sharpen_node', 'sharpen_key', target)"
    ".coalesce(__.inE('sharpen_edge').has('sharpen_kind', kind)"
    ".where(__.outV().has('sharpen_key', source)), "
    "__.addE('sharpen_edge').from('a').property('sharpen_kind', kind))"
    ".property('sharpen_tenant', tenant).property('sharpen_body', body).iterate()"
)
GET_NODES = (
    "g.V().has('sharpen_node', 'sharpen_key', within(keys)).has('sharpen_tenant', tenant)"
    f".project('key', 'tenant', 'kind', 'body').by('sharpen_key').{_SAY}"
)
PAGE = (
    "g.V().has('sharpen_node', 'sharpen_tenant', tenant).has('sharpen_kind', kind).has('sharpen_key', gt(after))"
    f".order().by('sharpen_key').limit(most).project('key', 'tenant', 'kind', 'body').by('sharpen_key').{_SAY}"
)
_EDGES = (
    ".has('sharpen_tenant', tenant).has('sharpen_kind', within(kinds))"
    ".order().by(__.outV().values('sharpen_key')).by('sharpen_kind').by(__.inV().values('sharpen_key')).limit(most)"
    ".project('source', 'target', 'tenant', 'kind', 'body')"
    f".by(__.outV().values('sharpen_key')).by(__.inV().values('sharpen_key')).{_SAY}"
)
EDGES_OUT = f"g.V().has('sharpen_node', 'sharpen_key', within(keys)).outE('sharpen_edge'){_EDGES}"
EDGES_IN = f"g.V().has('sharpen_node', 'sharpen_key', within(keys)).inE('sharpen_edge'){_EDGES}"
REMOVE = "g.V().has('sharpen_node', 'sharpen_key', within(keys)).has('sharpen_tenant', tenant).drop().iterate()"
COUNT_NODES = "g.V().has('sharpen_node', 'sharpen_tenant', tenant).count()"
COUNT_EDGES = "g.V().has('sharpen_node', 'sharpen_tenant', tenant).outE('sharpen_edge').count()"


class JanusGraph:
    """A Gremlin server at `ws://HOST:8182/gremlin`. Raises: StoreError; MissingExtra."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        driver, serializer = part("gremlin_python.driver.client"), part("gremlin_python.driver.serializer")
        self._client = driver.Client(
            url, "g", message_serializer=serializer.GraphSONSerializersV3d0(), username=user, password=password
        )

    def put_nodes(self, rows: Sequence[NodeRow]) -> None:
        """Write nodes by key."""
        for row in rows:
            self._run(PUT_NODE, **row._asdict())

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Write edges by (source, kind, target)."""
        for row in rows:
            self._run(PUT_EDGE, **row._asdict())

    def get_nodes(self, tenant: str, keys: Sequence[str]) -> list[NodeRow]:
        """Return those of the nodes that are there."""
        return [NodeRow(**row) for row in self._run(GET_NODES, tenant=tenant, keys=list(keys))]

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[NodeRow]:
        """Return nodes of a kind behind a key."""
        return [NodeRow(**row) for row in self._run(PAGE, tenant=tenant, kind=kind, after=after, most=limit)]

    def edges_of(
        self, tenant: str, keys: Sequence[str], kinds: Sequence[str], direction: Direction, limit: int
    ) -> list[EdgeRow]:
        """Return the edges at the nodes."""
        script = EDGES_OUT if direction == "out" else EDGES_IN
        found = self._run(script, tenant=tenant, keys=list(keys), kinds=list(kinds), most=limit)
        return [EdgeRow(**row) for row in found]

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        """Remove nodes and every edge at them."""
        self._run(REMOVE, tenant=tenant, keys=list(keys))

    def count(self, tenant: str) -> tuple[int, int]:
        """Return how many nodes and edges the tenant has."""
        nodes, edges = self._run(COUNT_NODES, tenant=tenant), self._run(COUNT_EDGES, tenant=tenant)
        return int(nodes[0]), int(edges[0])

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _run(self, script: str, **bindings: Any) -> list[Any]:
        failures = part("gremlin_python.driver.protocol")
        try:
            found: list[Any] = self._client.submit(script, bindings).all().result()
            return found
        except (failures.GremlinServerError, OSError, RuntimeError) as error:
            raise StoreError(f"The Gremlin server failed: {error}", "is it running at this address?") from error
