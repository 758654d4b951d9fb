"""The backend for Dgraph, over gRPC.

In: rows. Out: rows. Must not know what they mean.

An edge is a node of its own here, so that writing it again finds it by key. Every query is a constant with declared
variables; a list of keys fills a fixed number of slots, the rest of which stay empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sharpen.errors import StoreError
from sharpen.graphs.graph_store import Direction, EdgeRow, NodeRow
from sharpen.plugins import part
from sharpen.records import content_hash

SLOTS = 50  # chosen: keys per query; few round trips for a hop, and a query text of a few kilobytes
_ATTEMPTS = 5  # chosen: a transaction that met another one is aborted, and may be tried again
_NO_KIND = "-"
T = TypeVar("T")

SCHEMA = """
sharpen.key: string @index(exact) @upsert .
sharpen.tenant: string @index(exact) .
sharpen.shape: string @index(exact) .
sharpen.kind: string @index(exact) .
sharpen.source: string @index(exact) .
sharpen.target: string @index(exact) .
sharpen.body: string .
"""
_FIELDS = ("key", "tenant", "shape", "kind", "source", "target", "body")
_DECLARED = ", ".join(f"$k{i}: string" for i in range(SLOTS))
_KEYS = ", ".join(f"$k{i}" for i in range(SLOTS))
_KINDS = ", ".join(f"$e{i}" for i in range(8))
_KINDS_DECLARED = ", ".join(f"$e{i}: string" for i in range(8))
_NODE = "{ key: sharpen.key tenant: sharpen.tenant kind: sharpen.kind body: sharpen.body }"
_EDGE = "{ source: sharpen.source target: sharpen.target tenant: sharpen.tenant kind: sharpen.kind body: sharpen.body }"
_OURS = 'eq(sharpen.tenant, $tenant) AND eq(sharpen.shape, "node")'

FIND = "query find($key: string) { v as var(func: eq(sharpen.key, $key)) }"
GET_NODES = (
    f"query nodes($tenant: string, {_DECLARED}) {{ found(func: eq(sharpen.key, [{_KEYS}])) @filter({_OURS}) {_NODE} }}"
)
PAGE = (
    "query page($tenant: string, $kind: string, $after: string, $limit: int) { "
    "found(func: gt(sharpen.key, $after), orderasc: sharpen.key, first: $limit) "
    f"@filter({_OURS} AND eq(sharpen.kind, $kind)) {_NODE} }}"
)
EDGES_OUT = (
    f"query leaving($tenant: string, {_KINDS_DECLARED}, $limit: int, {_DECLARED}) {{ "
    f"found(func: eq(sharpen.source, [{_KEYS}]), orderasc: sharpen.source, orderasc: sharpen.kind, "
    f"orderasc: sharpen.target, first: $limit) "
    f"@filter(eq(sharpen.tenant, $tenant) AND eq(sharpen.kind, [{_KINDS}])) {_EDGE} }}"
)
EDGES_IN = (
    f"query entering($tenant: string, {_KINDS_DECLARED}, $limit: int, {_DECLARED}) {{ "
    f"found(func: eq(sharpen.target, [{_KEYS}]), orderasc: sharpen.source, orderasc: sharpen.kind, "
    f"orderasc: sharpen.target, first: $limit) "
    f"@filter(eq(sharpen.tenant, $tenant) AND eq(sharpen.kind, [{_KINDS}])) {_EDGE} }}"
)
REMOVE = (
    f"query gone($tenant: string, {_DECLARED}) {{ "
    f"v as var(func: eq(sharpen.key, [{_KEYS}])) @filter(eq(sharpen.tenant, $tenant)) "
    f"o as var(func: eq(sharpen.source, [{_KEYS}])) @filter(eq(sharpen.tenant, $tenant)) "
    f"i as var(func: eq(sharpen.target, [{_KEYS}])) @filter(eq(sharpen.tenant, $tenant)) }}"
)
COUNT = (
    "query total($tenant: string) { "
    f"nodes(func: eq(sharpen.tenant, $tenant)) @filter({_OURS}) {{ total: count(uid) }} "
    'edges(func: eq(sharpen.tenant, $tenant)) @filter(eq(sharpen.shape, "edge")) { total: count(uid) } }'
)


class Dgraph:
    """A Dgraph Alpha at HOST:PORT. Raises: StoreError; MissingExtra."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self._library = part("pydgraph")
        self._timeout_s = timeout_s
        self._stub = self._library.DgraphClientStub(url.removeprefix("dgraph://"))
        self._client = self._library.DgraphClient(self._stub)
        self._guarded(lambda: self._client.alter(self._library.Operation(schema=SCHEMA), timeout=timeout_s))

    def put_nodes(self, rows: Sequence[NodeRow]) -> None:
        """Write nodes by key."""
        self._put([row._asdict() | {"shape": "node"} for row in rows])

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Write edges by (source, kind, target)."""
        self._put(
            [
                row._asdict() | {"shape": "edge", "key": content_hash([row.source, row.kind, row.target], 40)}
                for row in rows
            ]
        )

    def get_nodes(self, tenant: str, keys: Sequence[str]) -> list[NodeRow]:
        """Return those of the nodes that are there."""
        pages = (self._query(GET_NODES, {"$tenant": tenant, **slots}) for slots in _slots(keys))
        return [NodeRow(**row) for page in pages for row in page["found"]]

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[NodeRow]:
        """Return nodes of a kind behind a key."""
        values = {"$tenant": tenant, "$kind": kind, "$after": after, "$limit": str(limit)}
        return [NodeRow(**row) for row in self._query(PAGE, values)["found"]]

    def edges_of(
        self, tenant: str, keys: Sequence[str], kinds: Sequence[str], direction: Direction, limit: int
    ) -> list[EdgeRow]:
        """Return the edges at the nodes."""
        query = EDGES_OUT if direction == "out" else EDGES_IN
        wanted = {f"$e{i}": kind for i, kind in enumerate([*kinds, *[_NO_KIND] * (8 - len(kinds))])}
        values = {"$tenant": tenant, "$limit": str(limit), **wanted}
        pages = (self._query(query, {**values, **slots}) for slots in _slots(keys))
        found = [EdgeRow(**row) for page in pages for row in page["found"]]
        return sorted(found, key=lambda row: (row.source, row.kind, row.target))[:limit]

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        """Remove nodes and every edge at them."""
        blank = [{"uid": f"uid({name})", **{f"sharpen.{field}": None for field in _FIELDS}} for name in "voi"]
        for slots in _slots(keys):
            self._write([(REMOVE, {"$tenant": tenant, **slots}, {"delete_json": json.dumps(blank).encode()})])

    def count(self, tenant: str) -> tuple[int, int]:
        """Return how many nodes and edges the tenant has."""
        found = self._query(COUNT, {"$tenant": tenant})
        return int(found["nodes"][0]["total"]), int(found["edges"][0]["total"])

    def close(self) -> None:
        """Give the connection back."""
        self._stub.close()

    def _put(self, rows: Sequence[dict[str, str]]) -> None:
        writes = []
        for row in rows:
            said = {"uid": "uid(v)", **{f"sharpen.{name}": value for name, value in row.items()}}
            writes.append((FIND, {"$key": row["key"]}, {"set_json": json.dumps(said).encode()}))
        self._write(writes)

    def _write(self, writes: Sequence[tuple[str, dict[str, str], dict[str, bytes]]]) -> None:
        """Do all writes in one transaction; one that met another transaction begins again."""
        proto = part("pydgraph.proto.api_pb2")

        def run() -> None:
            transaction = self._client.txn()
            try:
                for query, values, change in writes:
                    mutation = proto.Mutation(**change)
                    request = transaction.create_request(query=query, variables=values, mutations=[mutation])
                    transaction.do_request(request, timeout=self._timeout_s)
                transaction.commit(timeout=self._timeout_s)
            finally:
                transaction.discard(timeout=self._timeout_s)

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._guarded(run)
            except StoreError as error:
                if attempt == _ATTEMPTS or not isinstance(error.__cause__, self._library.AbortedError):
                    raise
        return None

    def _query(self, query: str, values: dict[str, str]) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            done = self._client.txn(read_only=True).query(query, variables=values, timeout=self._timeout_s)
            found: dict[str, Any] = json.loads(done.json)
            return found

        return self._guarded(ask)

    def _guarded(self, ask: Callable[[], T]) -> T:
        grpc = part("grpc")
        try:
            return ask()
        except (grpc.RpcError, self._library.AbortedError, self._library.RetriableError, ValueError) as error:
            raise StoreError(f"Dgraph failed: {error}", "is it running at this address?") from error


def _slots(keys: Sequence[str]) -> Iterator[dict[str, str]]:
    """Give the keys in portions that fill the query's slots."""
    for start in range(0, len(keys), SLOTS):
        some = [*keys[start : start + SLOTS]]
        yield {f"$k{i}": key for i, key in enumerate(some + [""] * (SLOTS - len(some)))}
