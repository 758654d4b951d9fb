"""No query is ever built: every text that reaches a database is a constant of the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.graphs.conftest import Open
from tests.graphs.standins import Rows

import sharpen.graphs
from sharpen.graphs import cypher, dgraph, janusgraph
from sharpen.graphs.graph_store import Edge, EdgeKind, Node, NodeKind

FOLDER = Path(sharpen.graphs.__file__).parent
BACKENDS = ("ladybug.py", "neo4j.py", "dgraph.py", "janusgraph.py", "cypher.py")
SENDS = {"_run", "_query", "execute", "execute_query", "submit", "query", "alter"}


def tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / name).read_text())


def constants(module: ast.Module) -> set[str]:
    """Return the names that the module binds at its top level, where no value from outside can be."""
    return {
        target.id for node in module.body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }  # fmt: skip


@pytest.mark.parametrize("name", BACKENDS)
def test_text_is_joined_only_where_nothing_from_outside_is_in_reach(name: str) -> None:
    """Inside functions, the only joined texts are those of errors, and the names of a query's fixed slots."""
    found = []
    for function in (node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef)):
        errors = {id(part) for node in ast.walk(function) if isinstance(node, ast.Raise) for part in ast.walk(node)}
        for node in ast.walk(function):
            if isinstance(node, ast.JoinedStr) and id(node) not in errors:
                found.append(ast.unparse(node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
                found.append(ast.unparse(node))
    allowed = {"f'$k{i}'", "f'$e{i}'", "f'sharpen.{name}'", "f'sharpen.{field}'", "f'uid({name})'"}
    assert set(found) - allowed == set()


@pytest.mark.parametrize("name", ["ladybug.py", "neo4j.py", "dgraph.py", "janusgraph.py"])
def test_what_is_sent_is_a_constant_by_name(name: str) -> None:
    module = tree(name)
    known = constants(module) | {"query", "script", "statement"}  # these are passed on, or chosen of two constants
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in SENDS
            and node.args
        ):
            sent = node.args[0]
            is_shared = isinstance(sent, ast.Attribute) and ast.unparse(sent).startswith("cypher.")
            is_library = ast.unparse(sent).startswith("self._library.Operation(schema=SCHEMA")
            assert is_shared or is_library or (isinstance(sent, ast.Name) and sent.id in known), ast.unparse(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("query", "script"):
            choices = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            assert all(ast.unparse(one).removeprefix("cypher.").isupper() for one in choices), ast.unparse(node)


@pytest.mark.parametrize("graph_name", ["dgraph_client_only", "janusgraph_client_only"])
def test_whatever_is_written_the_same_few_texts_arrive_client_only(
    graph_name: str, opened: Open, request: pytest.FixtureRequest
) -> None:
    module = dgraph if graph_name.startswith("dgraph") else janusgraph
    place = request.getfixturevalue("dgraph_place" if module is dgraph else "gremlin_place")
    rows: Rows = place[1]
    graph = opened("us")
    for text in ("x", "'); g.V().drop()", '") { uid } }', "\x00\ud800", "$k0"):
        graph.upsert_nodes([Node(text, NodeKind.CLAIM, text, {text: text}), Node("b", NodeKind.CONCEPT)])
        graph.upsert_edges([Edge(text, EdgeKind.ABOUT, "b", {text: text})])
        graph.path(text, "b")
        graph.delete([text])
    graph.count()
    known = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    assert rows.texts
    assert set(rows.texts) <= known


def test_every_kind_fits_the_slots_of_a_dgraph_query() -> None:
    assert len(EdgeKind) <= dgraph.EDGES_OUT.count("$e") // 2


def test_the_shared_queries_hold_no_place_for_text() -> None:
    for name, query in vars(cypher).items():
        if name.isupper():
            assert "{}" not in query
            assert "%s" not in query
