"""One suite for every graph database: what one does, all do."""

from __future__ import annotations

import itertools
import random
from collections import deque

import pytest
from tests.graphs.conftest import Open

from sharpen.errors import Refused
from sharpen.graphs.graph_store import MAX_FOUND, MAX_HOPS, Edge, EdgeKind, GraphStore, Node, NodeKind

IS_A, PART_OF, CAUSES = EdgeKind.IS_A, EdgeKind.PART_OF, EdgeKind.CAUSES


def concept(node_id: str, text: str = "", **properties: str | int | float | bool | None) -> Node:
    return Node(node_id, NodeKind.CONCEPT, text, properties)


def chain(graph: GraphStore, *names: str, kind: EdgeKind = IS_A) -> None:
    graph.upsert_nodes(concept(name) for name in names)
    graph.upsert_edges(Edge(a, kind, b) for a, b in itertools.pairwise(names))


def found(graph: GraphStore, node_id: str, **bounds: object) -> list[tuple[str, int]]:
    return [(one.node.id, one.hops) for one in graph.neighbours(node_id, **bounds)]


def test_a_node_written_twice_is_one_and_says_what_came_last(graph: GraphStore) -> None:
    graph.upsert_nodes([concept("a", "first"), concept("b"), concept("a", "second")])
    graph.upsert_nodes([Node("a", NodeKind.CLAIM, "third", {"sure": True})])
    assert graph.count() == (2, 0)
    assert graph.get("a") == Node("a", NodeKind.CLAIM, "third", {"sure": True})
    assert graph.get("c") is None


def test_there_is_one_edge_of_each_kind_between_two_nodes(graph: GraphStore) -> None:
    chain(graph, "a", "b")
    graph.upsert_edges([Edge("a", IS_A, "b", {"n": 1}), Edge("a", IS_A, "b", {"n": 2}), Edge("a", CAUSES, "b")])
    assert graph.count() == (2, 2)
    (neighbour,) = graph.neighbours("a", kinds=[IS_A])
    assert neighbour.edge == Edge("a", IS_A, "b", {"n": 2})


def test_an_edge_to_nowhere_is_refused_and_nothing_is_written(graph: GraphStore) -> None:
    chain(graph, "a", "b")
    with pytest.raises(Refused, match="1 nodes of these edges are not in the graph"):
        graph.upsert_edges([Edge("a", CAUSES, "b"), Edge("a", IS_A, "nowhere")])
    assert graph.count() == (2, 1)


def test_neighbours_keep_to_their_hops(graph: GraphStore) -> None:
    chain(graph, "a", "b", "c", "d")
    assert found(graph, "a", hops=0) == []
    assert found(graph, "a", hops=2) == [("b", 1), ("c", 2)]
    assert found(graph, "nowhere", hops=2) == []
    for bounds in ({"hops": MAX_HOPS + 1}, {"hops": -1}, {"limit": MAX_FOUND + 1}):
        with pytest.raises(Refused, match="too many"):
            graph.neighbours("a", **bounds)


def test_neighbours_keep_to_their_kinds_and_directions(graph: GraphStore) -> None:
    chain(graph, "a", "b", "c")
    chain(graph, "b", "x", kind=CAUSES)
    chain(graph, "y", "b", kind=PART_OF)
    assert {one for one, _ in found(graph, "b")} == {"a", "c", "x", "y"}
    assert found(graph, "b", kinds=[CAUSES, PART_OF], directions=["out"]) == [("x", 1)]
    assert found(graph, "b", kinds=[IS_A], directions=["in"]) == [("a", 1)]
    assert found(graph, "b", kinds=[]) == []
    (neighbour,) = graph.neighbours("b", kinds=[PART_OF])
    assert neighbour.edge == Edge("y", PART_OF, "b")


def test_a_shortest_path_is_found_within_its_bounds(graph: GraphStore) -> None:
    chain(graph, "a", "b", "c", "d", "e")
    chain(graph, "a", "x", "e", kind=CAUSES)
    assert [node.id for node in graph.path("a", "e")] == ["a", "x", "e"]
    assert [node.id for node in graph.path("a", "e", kinds=[IS_A])] == ["a", "b", "c", "d", "e"]
    assert graph.path("a", "e", kinds=[IS_A], hops=3) == []
    assert graph.path("e", "a", directions=["out"]) == []
    assert [node.id for node in graph.path("e", "a")] == ["e", "x", "a"]
    assert [node.id for node in graph.path("a", "a")] == ["a"]
    assert graph.path("a", "nowhere") == graph.path("nowhere", "a") == graph.path("nowhere", "nowhere") == []


def test_a_cycle_is_walked_once(graph: GraphStore) -> None:
    chain(graph, "a", "b", "c", "a")
    graph.upsert_edges([Edge("a", CAUSES, "a")])
    assert found(graph, "a", hops=MAX_HOPS, directions=["out"]) == [("b", 1), ("c", 2)]


def test_of_a_supernode_the_same_few_neighbours_come_every_time(graph: GraphStore) -> None:
    graph.upsert_nodes([concept("hub"), *(concept(f"leaf {i}") for i in range(260))])
    graph.upsert_edges(Edge("hub", IS_A, f"leaf {i}") for i in range(260))
    first = found(graph, "hub", hops=3, limit=7)
    assert len(first) == 7
    assert found(graph, "hub", hops=3, limit=7) == first
    assert len(found(graph, "hub", limit=MAX_FOUND)) == 260


def test_a_deleted_node_takes_its_edges_with_it(graph: GraphStore) -> None:
    chain(graph, "a", "b", "c")
    graph.delete(["b", "nowhere"])
    graph.delete(["b"])
    assert graph.count() == (2, 0)
    assert graph.get("b") is None
    assert found(graph, "a", hops=2) == []


def test_a_tenant_sees_and_changes_only_its_own(opened: Open) -> None:
    chain(opened("us"), "a", "b", "ours")
    theirs = opened("them")
    assert theirs.count() == (0, 0)
    assert (theirs.get("a"), found(theirs, "a", hops=3), list(theirs.nodes(NodeKind.CONCEPT))) == (None, [], [])
    theirs.delete(["a", "b", "ours"])
    theirs.clear()
    theirs.upsert_nodes([concept("a", "theirs")])
    with pytest.raises(Refused, match="not in the graph"):
        theirs.upsert_edges([Edge("a", IS_A, "ours")])
    ours = opened("us")
    assert ours.count() == (3, 2)
    assert ours.get("a") == concept("a")
    ours.clear()
    assert ours.count() == (0, 0)
    assert opened("them").get("a") == concept("a", "theirs")


def test_every_text_comes_back_as_it_was(graph: GraphStore) -> None:
    texts = ["", "a\x00b", "\ud800 alone \udfff", "'\"`\\$${}//--", "\u202e\u0000\U0001f600", "x" * 1_000_000, "\n\r\t"]
    graph.upsert_nodes(Node(f"id {text[:20]}", NodeKind.CLAIM, text, {text[:9]: text[:9]}) for text in texts)
    assert [graph.get(f"id {text[:20]}").text for text in texts] == texts
    assert [dict(graph.get(f"id {text[:20]}").properties) for text in texts] == [{t[:9]: t[:9]} for t in texts]


def test_properties_keep_their_types(graph: GraphStore) -> None:
    said = {"words": "7", "whole": 7, "number": 7.5, "yes": True, "none": None}
    graph.upsert_nodes([concept("a", "", **said), concept("b")])
    graph.upsert_edges([Edge("a", IS_A, "b", said)])
    (neighbour,) = graph.neighbours("a")
    assert dict(graph.get("a").properties) == dict(neighbour.edge.properties) == said
    assert type(graph.get("a").properties["yes"]) is bool


def test_what_was_written_is_there_after_a_restart(opened: Open) -> None:
    chain(opened("us"), "a", "b", "c")
    assert found(opened("us"), "a", hops=2) == [("b", 1), ("c", 2)]


def test_all_nodes_of_a_kind_are_listed_page_by_page(graph: GraphStore) -> None:
    graph.upsert_nodes([*(concept(f"{i}") for i in range(430)), Node("one", NodeKind.CLAIM)])
    listed = [node.id for node in graph.nodes(NodeKind.CONCEPT)]
    assert sorted(listed, key=int) == [f"{i}" for i in range(430)]
    assert [node.id for node in graph.nodes(NodeKind.CLAIM)] == ["one"]


def test_a_kind_outside_the_vocabulary_is_refused(graph: GraphStore) -> None:
    chain(graph, "a", "b")
    for kind in ("Concept", "concept`) DETACH DELETE n //", "", None):
        with pytest.raises(Refused, match="no kind of node"):
            graph.upsert_nodes([Node("x", kind)])
        with pytest.raises(Refused, match="no kind of edge"):
            graph.upsert_edges([Edge("a", kind, "b")])
        with pytest.raises(Refused, match="no kind of edge"):
            graph.neighbours("a", kinds=[kind])
    assert graph.count() == (2, 1)


def test_a_random_graph_is_walked_as_the_textbook_walks_it(graph: GraphStore) -> None:
    draw = random.Random(7)
    names = [f"n{i}" for i in range(24)]
    pairs = {(draw.choice(names), draw.choice(names)) for _ in range(36)}
    graph.upsert_nodes(concept(name) for name in names)
    graph.upsert_edges(Edge(a, CAUSES, b) for a, b in pairs)
    for start in names[:6]:
        far, queue = {start: 0}, deque([start])
        while queue:
            at = queue.popleft()
            for a, b in pairs:
                if a == at and b not in far:
                    far[b] = far[at] + 1
                    queue.append(b)
        expected = {name: hops for name, hops in far.items() if 0 < hops <= 3}
        assert dict(found(graph, start, hops=3, directions=["out"])) == expected
        for name in names:
            way = [node.id for node in graph.path(start, name, hops=3, directions=["out"])]
            assert len(way) == (expected[name] + 1 if name in expected else (name == start))
            assert all(step in pairs for step in itertools.pairwise(way))


def test_what_cannot_be_kept_is_refused_before_it_is_sent(graph: GraphStore) -> None:
    for value in (float("nan"), float("inf"), b"bytes", object()):
        with pytest.raises(Refused, match="properties cannot be kept"):
            graph.upsert_nodes([concept("a", "", bad=value)])
    with pytest.raises(Refused, match="characters when escaped"):
        graph.upsert_nodes([concept("a", "\x00" * 2_000_000)])
    assert graph.count() == (0, 0)
