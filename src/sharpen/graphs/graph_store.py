"""A graph of typed nodes and edges, one tenant's part of it, over any backend.

In: nodes and edges. Out: neighbours within a bounded number of hops, paths, counts. Must not know which database holds
them, or what they are about.

What a backend sees of a node is a hash, a word from a fixed vocabulary and one ASCII string: ids, words and properties
travel as escaped JSON inside that string, and the key is a hash of tenant and id. So no text reaches a place where a
database would read it as a name or a query, every backend gives every text back unchanged (NUL and lone surrogates
too), and an id of another tenant leads nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from sharpen.errors import Refused
from sharpen.records import content_hash

Scalar = str | int | float | bool | None
Direction = Literal["out", "in"]

MAX_HOPS = 8  # chosen: past this nearly everything is a neighbour of everything
MAX_FOUND = 1000  # chosen: most nodes one question may bring; a supernode has millions
MAX_BODY_CHARS = 8_000_000  # chosen: a megabyte of text, every character of it escaped, and room to spare
_ROWS = 200  # chosen: rows per request; keeps a request well under the databases' message limits
_ROWS_CHARS = 4_000_000  # chosen: the same for long texts
_KEY_DIGITS = 40  # chosen: 160 bits, so that nobody finds two ids with one key


class NodeKind(StrEnum):
    """What a node stands for."""

    CONCEPT = "concept"  # a thing that has a name
    CLAIM = "claim"  # a statement about things
    STEP = "step"  # a step of reasoning
    EVIDENCE = "evidence"  # a record or document that something rests on


class EdgeKind(StrEnum):
    """How one node relates to another, read from source to target."""

    IS_A = "is_a"
    PART_OF = "part_of"
    CAUSES = "causes"
    ABOUT = "about"  # a claim, of a concept
    FOLLOWS = "follows"  # a step, from the step before it
    RESTS_ON = "rests_on"  # anything, on its evidence


@dataclass(frozen=True, slots=True)
class Node:
    """A thing. The same id is the same node: writing it again replaces what it says."""

    id: str
    kind: NodeKind
    text: str = ""
    properties: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """A relation. There is one of each kind between two nodes: writing it again replaces its properties."""

    source: str
    kind: EdgeKind
    target: str
    properties: Mapping[str, Scalar] = field(default_factory=dict)


class Neighbour(NamedTuple):
    """A node that was found, how many edges away, and the edge that led to it."""

    node: Node
    hops: int
    edge: Edge


class NodeRow(NamedTuple):
    """A node as a backend keeps it: printable ASCII throughout."""

    key: str
    tenant: str
    kind: str
    body: str


class EdgeRow(NamedTuple):
    """An edge as a backend keeps it; source and target are keys of nodes."""

    source: str
    target: str
    tenant: str
    kind: str
    body: str


class Backend(Protocol):
    """A database that keeps rows. Writing a row again replaces it. Raises: StoreError when it fails."""

    def put_nodes(self, rows: Sequence[NodeRow]) -> None:
        """Write nodes by key."""
        ...

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Write edges by (source, kind, target); both ends are there."""
        ...

    def get_nodes(self, tenant: str, keys: Sequence[str]) -> list[NodeRow]:
        """Return those of the nodes that are there, in any order."""
        ...

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[NodeRow]:
        """Return nodes of a kind whose key sorts behind `after`, by key."""
        ...

    def edges_of(
        self, tenant: str, keys: Sequence[str], kinds: Sequence[str], direction: Direction, limit: int
    ) -> list[EdgeRow]:
        """Return the edges of these kinds that leave (out) or enter (in) the nodes, by (source, kind, target)."""
        ...

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        """Remove nodes and every edge at them."""
        ...

    def count(self, tenant: str) -> tuple[int, int]:
        """Return how many nodes and edges the tenant has."""
        ...

    def close(self) -> None:
        """Give connections and files back."""
        ...


class GraphStore:
    """One tenant's graph. Raises: Refused for what cannot be kept; StoreError when the database fails."""

    def __init__(self, backend: Backend, tenant: str = "local") -> None:
        self._backend = backend
        self._tenant = content_hash(["tenant", tenant], _KEY_DIGITS)

    def upsert_nodes(self, nodes: Iterable[Node]) -> None:
        """Write nodes; of two with one id, the later counts."""
        rows = {row.key: row for row in (self._node_row(node) for node in nodes)}
        for part in _parts(rows.values()):
            self._backend.put_nodes(part)

    def upsert_edges(self, edges: Iterable[Edge]) -> None:
        """Write edges. Raises: Refused when one of their nodes is not there."""
        rows = {(row.source, row.kind, row.target): row for row in (self._edge_row(edge) for edge in edges)}
        ends = list(dict.fromkeys(key for row in rows.values() for key in (row.source, row.target)))
        missing = set(ends) - self._rows(ends).keys()
        if missing:
            raise Refused(f"{len(missing)} nodes of these edges are not in the graph.", "write the nodes first")
        for part in _parts(rows.values()):
            self._backend.put_edges(part)

    def get(self, node_id: str) -> Node | None:
        """Return a node, or None."""
        row = self._rows([self._key(node_id)]).values()
        return next((_node(one) for one in row), None)

    def nodes(self, kind: NodeKind) -> Iterator[Node]:
        """Return every node of a kind, in an order that stays the same."""
        after = ""
        while page := self._backend.page(self._tenant, _word(NodeKind, kind), after, _ROWS):
            yield from map(_node, page)
            after = page[-1].key

    def neighbours(
        self,
        node_id: str,
        *,
        kinds: Iterable[EdgeKind] = EdgeKind,
        hops: int = 1,
        directions: Sequence[Direction] = ("out", "in"),
        limit: int = 100,
    ) -> list[Neighbour]:
        """Return the nodes within `hops` edges of these kinds, the nearest first, at most `limit`, each once."""
        return [found for found, _ in self._spread(node_id, kinds, hops, directions, limit)]

    def path(
        self,
        source: str,
        target: str,
        *,
        kinds: Iterable[EdgeKind] = EdgeKind,
        hops: int = 4,
        directions: Sequence[Direction] = ("out", "in"),
    ) -> list[Node]:
        """Return the nodes of a shortest path, both ends included; empty when there is none within the bounds."""
        start = self.get(source)
        if start is None or source == target:
            return [start] if start else []
        came_from: dict[str, tuple[Node, str]] = {}
        for found, before in self._spread(source, kinds, hops, directions, MAX_FOUND):
            came_from[found.node.id] = found.node, before
            if found.node.id == target:
                break
        way, at = list[Node](), target
        while at in came_from:
            node, at = came_from[at]
            way.append(node)
        return [start, *reversed(way)] if way else []

    def delete(self, node_ids: Iterable[str]) -> None:
        """Remove nodes and every edge at them; those that are not there are gone already."""
        for part in _parts(self._rows([self._key(one) for one in node_ids]).values()):
            self._backend.remove(self._tenant, [row.key for row in part])

    def clear(self) -> None:
        """Remove everything this tenant has."""
        for kind in NodeKind:
            while page := self._backend.page(self._tenant, kind.value, "", _ROWS):
                self._backend.remove(self._tenant, [row.key for row in page])

    def count(self) -> tuple[int, int]:
        """Return how many nodes and edges there are."""
        return self._backend.count(self._tenant)

    def close(self) -> None:
        """Give connections and files back."""
        self._backend.close()

    # -- how it spreads ------------------------------------------------------------------------------------------------

    def _spread(
        self, start: str, kinds: Iterable[EdgeKind], hops: int, directions: Sequence[Direction], limit: int
    ) -> Iterator[tuple[Neighbour, str]]:
        """Go breadth first; give each node once, with the id of the node it was reached from."""
        if not (0 <= hops <= MAX_HOPS and 0 <= limit <= MAX_FOUND):
            raise Refused(f"{hops} hops and {limit} nodes are too many.", f"at most {MAX_HOPS} and {MAX_FOUND}")
        words = sorted({_word(EdgeKind, kind) for kind in kinds})
        ring = self._rows([self._key(start)])
        seen, given = set(ring), 0
        for hop in range(1, hops + 1):
            reached: dict[str, tuple[EdgeRow, str]] = {}
            for direction in directions:
                # Of a supernode's edges the first are taken, by key: the same ones every time.
                for edge in self._backend.edges_of(self._tenant, sorted(ring), words, direction, MAX_FOUND):
                    here, there = (edge.source, edge.target) if direction == "out" else (edge.target, edge.source)
                    if there not in seen:
                        reached.setdefault(there, (edge, here))
            rows = self._rows(sorted(reached)[: limit - given])
            known = {key: _node(row) for key, row in (ring | rows).items()}
            for key in sorted(rows):
                edge, here = reached[key]
                yield Neighbour(known[key], hop, _edge(edge, known)), known[here].id
            seen |= set(rows)
            given += len(rows)
            ring = rows
            if not ring or given >= limit:
                return

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _key(self, node_id: str) -> str:
        return content_hash([self._tenant, node_id], _KEY_DIGITS)

    def _rows(self, keys: Sequence[str]) -> dict[str, NodeRow]:
        found: dict[str, NodeRow] = {}
        for start in range(0, len(keys), _ROWS):
            rows = self._backend.get_nodes(self._tenant, keys[start : start + _ROWS])
            found |= {row.key: row for row in rows}
        return found

    def _node_row(self, node: Node) -> NodeRow:
        body = _body({"id": node.id, "text": node.text, "properties": dict(node.properties)})
        return NodeRow(self._key(node.id), self._tenant, _word(NodeKind, node.kind), body)

    def _edge_row(self, edge: Edge) -> EdgeRow:
        ends = self._key(edge.source), self._key(edge.target)
        return EdgeRow(*ends, self._tenant, _word(EdgeKind, edge.kind), _body(dict(edge.properties)))


Row = TypeVar("Row", NodeRow, EdgeRow)
Word = TypeVar("Word", NodeKind, EdgeKind)


def _word(vocabulary: type[Word], word: Any) -> str:
    """Return a word of the vocabulary. Raises: Refused for any other: a kind is the only word a database reads."""
    try:
        return vocabulary(word).value
    except ValueError:
        known = ", ".join(one.value for one in vocabulary)
        raise Refused(
            f"{str(word)[:40]!a} is no kind of {vocabulary.__name__[:4].lower()}.", f"one of {known}"
        ) from None


def _body(content: object) -> str:
    try:
        body = json.dumps(content, ensure_ascii=True, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise Refused(
            f"A node's or edge's properties cannot be kept: {error}", "use text, numbers, true, false"
        ) from error
    if len(body) > MAX_BODY_CHARS:
        raise Refused(f"A node's text has {len(body)} characters when escaped.", f"at most {MAX_BODY_CHARS}")
    return body


def _node(row: NodeRow) -> Node:
    said = json.loads(row.body)
    return Node(said["id"], NodeKind(row.kind), said["text"], said["properties"])


def _edge(row: EdgeRow, known: Mapping[str, Node]) -> Edge:
    return Edge(known[row.source].id, EdgeKind(row.kind), known[row.target].id, json.loads(row.body))


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Cut rows into what one request can take."""
    part: list[Row] = []
    chars = 0
    for row in rows:
        if part and (len(part) == _ROWS or chars + len(row.body) > _ROWS_CHARS):
            yield part
            part, chars = [], 0
        part.append(row)
        chars += len(row.body)
    if part:
        yield part
