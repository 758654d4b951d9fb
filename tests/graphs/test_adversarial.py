"""Hostile text, on the engine that is embedded and over Bolt: it steers no query, crosses no tenant, crashes nothing.

The cases are in adversarial.jsonl: mechanism, where the text is put, the text (`repeat` times).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from tests.graphs.conftest import Open

from sharpen.errors import Refused
from sharpen.graphs.graph_store import Edge, EdgeKind, GraphStore, Node, NodeKind
from sharpen.memory.compose import block
from sharpen.memory.facts import valid
from sharpen.memory.knowledge import NOTHING, Knowledge
from sharpen.store import Store

CASES = [json.loads(line) for line in Path(__file__).with_name("adversarial.jsonl").read_text().splitlines()]
TEXT = "A lemur is a primate. A primate is an animal."
US = [Node("a", NodeKind.CONCEPT, "ours"), Node("b", NodeKind.CLAIM, "our secret")]
REAL = ("ladybug", "neo4j")


def fact(quote: str) -> str:
    said = {"subject": "lemur", "relation": "states", "object": "secret", "quote": quote, "evidence": "doc_1"}
    return json.dumps([said])


@pytest.fixture(params=REAL)
def graph_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def us(opened: Open) -> Iterator[Callable[[], None]]:
    """Write our two nodes; return a check that they, and nothing else, are still there as they were."""
    ours = opened("us")
    ours.upsert_nodes(US)
    ours.upsert_edges([Edge("b", EdgeKind.ABOUT, "a")])

    def unchanged() -> None:
        again = opened("us")
        assert again.count() == (2, 1)
        assert [again.get(node.id) for node in US] == US
        assert [found.node for found in again.neighbours("a", hops=3)] == [US[1]]

    yield unchanged
    unchanged()


def into_node(graph: GraphStore, text: str, where: str) -> None:
    """Put the text where it belongs; it is one node, found by its own id and as it was written."""
    node = Node(text if where == "id" else "n", NodeKind.CLAIM, text, {"p": text[:100]})
    graph.upsert_nodes([node, Node("other", NodeKind.CONCEPT)])
    graph.upsert_edges([Edge(node.id, EdgeKind.ABOUT, "other", {"p": text[:100]})])
    assert graph.count() == (2, 1)
    assert graph.get(node.id) == node
    assert [found.node for found in graph.neighbours("other", hops=2)] == [node]
    assert graph.path("other", node.id)[-1] == node
    graph.delete([node.id])
    assert graph.count() == (1, 0)


def as_kind(graph: GraphStore, text: str, where: str) -> None:
    graph.upsert_nodes([Node("x", NodeKind.CONCEPT)])
    with pytest.raises(Refused, match="no kind of"):
        if where == "node kind":
            graph.upsert_nodes([Node("y", text)])
        else:
            graph.neighbours("x", kinds=[text])
    assert graph.count() == (1, 0)


def as_property(graph: GraphStore, text: str, where: str) -> None:
    graph.upsert_nodes([Node("x", NodeKind.CONCEPT, "", {text: "value"})])
    assert dict(graph.get("x").properties) == {text: "value"}
    assert graph.count() == (1, 0)


def as_question(graph: GraphStore, text: str, store: Store) -> None:
    knowledge = Knowledge(store, graph)
    knowledge.learn(valid(fact("The lemur has a secret."), "The lemur has a secret.", "doc_1").facts)
    before = graph.count()
    assert len(knowledge.lookup(text)) <= 1_500
    assert {memory.reply for memory in knowledge.facts(text, 99)} <= {"The lemur has a secret."}
    assert graph.count() == before


def as_document(graph: GraphStore, text: str, store: Store) -> None:
    """The document's own words come back, every line of them behind the mark of data."""
    knowledge = Knowledge(store, graph)
    (said,) = valid(fact(text[:1000]), text, "doc_1").facts or [None]
    knowledge.learn([said] if said else [])
    shown = block(knowledge.facts("lemur secret", 5), 4000)
    inside = shown.splitlines()[2:-1]
    assert said is None or inside
    assert all(line.startswith(">") for line in inside)
    assert all(line.startswith(">") for line in knowledge.lookup("lemur secret").splitlines() if line != NOTHING)
    assert "<|im_start|>" not in shown + knowledge.lookup("lemur")


def as_extraction(graph: GraphStore, text: str, store: Store) -> None:
    knowledge = Knowledge(store, graph)
    reading = knowledge.read(lambda passage, evidence: text, TEXT, "doc_1")
    assert (reading.facts, graph.count()) == ([], (0, 0))
    assert reading.dropped or json.loads(text) == []


def run(case: dict[str, Any], opened: Open, store: Store) -> None:
    where, text = case["where"], case["text"] * case.get("repeat", 1)
    graph = opened(f"eve {case['mechanism']} {case['text']}")
    if where == "other tenant":
        stranger = opened(text + " ")
        assert stranger.count() == (0, 0)
        assert (stranger.get("a"), stranger.neighbours("a"), stranger.path("a", "b")) == (None, [], [])
        stranger.delete(["a", "b"])
        stranger.clear()
    elif where in ("id", "text"):
        into_node(graph, text, where)
    elif where in ("node kind", "edge kind"):
        as_kind(graph, text, where)
    elif where == "property key":
        as_property(graph, text, where)
    else:
        {"question": as_question, "document": as_document, "extraction": as_extraction}[where](graph, text, store)


def test_there_are_enough_cases_and_no_mechanism_fills_them() -> None:
    per_mechanism = Counter(case["mechanism"] for case in CASES)
    assert len(CASES) >= 130
    assert max(per_mechanism.values()) <= 5
    assert len({json.dumps(case) for case in CASES}) == len(CASES)


GROUPS = {name: list(group) for name, group in groupby(CASES, key=lambda case: case["mechanism"])}


@pytest.mark.parametrize("mechanism", GROUPS)
def test_hostile_text_is_data(mechanism: str, us: Callable[[], None], opened: Open, sqlite_store: Store) -> None:
    for case in GROUPS[mechanism]:
        run(case, opened, sqlite_store)
    us()


def test_ids_that_differ_in_any_way_are_different_nodes(us: Callable[[], None], opened: Open) -> None:
    ids = list({case["text"] for case in CASES if case["where"] == "id"})
    graph = opened("eve")
    graph.upsert_nodes(Node(node_id, NodeKind.CONCEPT, node_id) for node_id in ids)
    assert graph.count() == (len(ids), 0)
    assert [graph.get(node_id).text for node_id in ids] == ids


def test_a_cycle_and_a_supernode_are_bounded(us: Callable[[], None], opened: Open) -> None:
    graph = opened("eve")
    ring = [f"r{i}" for i in range(50)]
    graph.upsert_nodes(Node(name, NodeKind.CONCEPT) for name in ("hub", *ring))
    graph.upsert_edges(Edge(a, EdgeKind.CAUSES, b) for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    graph.upsert_edges(Edge("hub", kind, name) for name in ring for kind in EdgeKind)
    assert len(graph.neighbours("hub", hops=8, limit=1000)) == 50
    assert len(graph.neighbours("hub", hops=8, limit=5)) == 5
