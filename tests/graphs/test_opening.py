"""One line of the configuration chooses the database; what is wrong with it is said."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.graphs.conftest import PASSWORD_ENV

from sharpen.config import GraphsSection, parse
from sharpen.errors import ConfigError, Refused, StoreError
from sharpen.graphs.opening import open_graph


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("backend", "url"),
    [
        ("neo4j", ""),
        ("neo4j", "http://h:1"),
        ("dgraph", "bolt://h:1"),
        ("janusgraph", "ws:///gremlin"),
        ("dgraph", "h:9080"),
    ],
)
def test_an_address_of_another_kind_is_refused(backend: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[graphs\] url"):
        open_graph(GraphsSection(backend=backend, url=url), tmp_path)


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    settings = GraphsSection(backend="neo4j", url="bolt://me:hunter2@127.0.0.1:7687")
    with pytest.raises(ConfigError, match="holds a password") as caught:
        open_graph(settings, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "SHARPEN_GRAPH_PASSWORD" in str(caught.value)


@pytest.mark.parametrize(
    ("backend", "url"),
    [
        ("neo4j", "bolt://127.0.0.1:{}"),
        ("dgraph", "dgraph://127.0.0.1:{}"),
        ("janusgraph", "ws://127.0.0.1:{}/gremlin"),
    ],
)
def test_a_server_that_is_away_is_an_error_that_says_so(backend: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_graph(GraphsSection(backend=backend, url=url.format(closed_port())), tmp_path).count()
    assert caught.value.next_step


def test_a_wrong_password_is_an_error_that_says_so(
    bolt: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, "wrong")
    with pytest.raises(StoreError, match="graph database failed"):
        open_graph(GraphsSection(backend="neo4j", url=bolt[0], password_env=PASSWORD_ENV), tmp_path)


def test_a_file_that_is_no_graph_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "knowledge.lbug").write_text("not a graph at all" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_graph(GraphsSection(), tmp_path)


def test_kuzu_and_ladybug_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kuzu", object())
    with pytest.raises(Refused, match="kuzu"):
        open_graph(GraphsSection(), tmp_path)


@pytest.mark.parametrize(
    ("backend", "url", "module", "extra"),
    [
        ("ladybug", "", "ladybug", "graphs"),
        ("neo4j", "bolt://127.0.0.1:1", "neo4j", "neo4j"),
        ("dgraph", "dgraph://127.0.0.1:1", "pydgraph", "dgraph"),
        ("janusgraph", "ws://127.0.0.1:1/gremlin", "gremlin_python.driver.client", "janusgraph"),
    ],
)
def test_a_missing_part_says_what_to_install(backend: str, url: str, module: str, extra: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.modules[{module!r}] = None; sys.modules[{module.partition('.')[0]!r}] = None\n"
        "from sharpen.config import GraphsSection; from sharpen.graphs.opening import open_graph\n"
        "from sharpen.errors import MissingExtra\n"
        f"try: open_graph(GraphsSection(backend={backend!r}, url={url!r}), Path({str(tmp_path)!r}))\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert re.search(rf"install .*\b{extra}\b", done.stdout)


def test_the_default_is_a_file_in_home(tmp_path: Path) -> None:
    settings = parse({}).graphs
    assert settings.backend == "ladybug"
    open_graph(settings, tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["knowledge.lbug"]
