"""The four graph databases, each as real as it can be had here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance import check_of, record
from tests.graphs.bolt_server import bolt_server
from tests.graphs.standins import Rows, dgraph_stand_in, gremlin_stand_in

from sharpen.config import GraphsSection
from sharpen.graphs.graph_store import GraphStore
from sharpen.graphs.opening import open_graph

HOW = {
    "ladybug": "embedded",
    "neo4j": "real server",
    "dgraph_client_only": "client only",
    "janusgraph_client_only": "client only",
}
PASSWORD_ENV = "SHARPEN_TEST_GRAPH_PASSWORD"
Open = Callable[[str], GraphStore]


@pytest.fixture(scope="session")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A real Bolt server, one per worker: its address and password."""
    with bolt_server(tmp_path_factory.mktemp("bolt")) as place:
        yield place


@pytest.fixture(scope="session")
def dgraph_place() -> Iterator[tuple[str, Rows]]:
    with dgraph_stand_in() as place:
        yield place


@pytest.fixture(scope="session")
def gremlin_place() -> Iterator[tuple[str, Rows]]:
    with gremlin_stand_in() as place:
        yield place


@pytest.fixture
def settings_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], GraphsSection]:
    """Return the configuration that leads to a running database of that name."""

    def settings(name: str) -> GraphsSection:
        backend = name.removesuffix("_client_only")
        if backend == "ladybug":
            return GraphsSection()
        if backend == "neo4j":
            url, password = request.getfixturevalue("bolt")
            monkeypatch.setenv(PASSWORD_ENV, password)
            return GraphsSection(backend="neo4j", url=url, password_env=PASSWORD_ENV)
        url, _ = request.getfixturevalue("dgraph_place" if backend == "dgraph" else "gremlin_place")
        return GraphsSection(backend=backend, url=url)

    return settings


@pytest.fixture
def opened(graph_name: str, settings_of: Callable[[str], GraphsSection], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the database as a tenant; one graph is open at a time."""
    salt, last = uuid.uuid4().hex, list[GraphStore]()

    def open_as(tenant: str) -> GraphStore:
        if graph_name == "ladybug" and last:
            last.pop().close()
        last.append(open_graph(settings_of(graph_name), tmp_path, f"{tenant} {salt}"))
        return last[-1]

    yield open_as
    for graph in last:
        graph.close()


@pytest.fixture(params=list(HOW))
def graph_name(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> str:
    """Run the test on every database, and note it in the table that is printed at the end."""
    how = HOW[request.param]
    part = request.param.removesuffix("_client_only")
    record(record_property, table="graph stores", part=part, check=check_of(request), how=how)
    return str(request.param)


@pytest.fixture
def graph(opened: Open) -> GraphStore:
    return opened("us")
