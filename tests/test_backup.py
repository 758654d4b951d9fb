"""A deployment is copied while somebody writes, put back elsewhere, and goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpen.backup import MANIFEST, back_up, restore
from sharpen.capture.traces import record_trace
from sharpen.cli import app
from sharpen.config import load
from sharpen.errors import ConfigError, Refused
from sharpen.loop import Loop
from sharpen.models.engine import Generation
from sharpen.records import Message, Trace
from sharpen.store import Store
from tests.faults import cycles


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return Loop.open(cycles.build(tmp_path))


def write(store: Store, stop: threading.Event) -> None:
    while not stop.is_set():
        said = (Message(role="user", content="while it is copied"),)
        record_trace(store, messages=said, generation=Generation("yes", 1, 1, "stop"), version_id="ver_0")


def test_what_is_put_back_is_what_was_there_though_somebody_wrote(loop: Loop, tmp_path: Path) -> None:
    before, stop = {one.id for one in loop.store.find(Trace)}, threading.Event()
    writer = threading.Thread(target=write, args=(Store.open(loop.config.store_url), stop))
    writer.start()
    try:
        target = back_up(loop, tmp_path / "copy")
    finally:
        stop.set()
        writer.join()
    assert not (target / "cycle.lock").exists()
    found = restore(target, tmp_path / "again")
    assert found is not None and not found.faults
    store = Store.open(f"sqlite:///{tmp_path / 'again' / 'store.db'}")
    kept = {one.id for one in store.find(Trace)}
    assert before <= kept <= {one.id for one in loop.store.find(Trace)}
    assert store.champion() == loop.store.champion()
    assert (tmp_path / "again" / "journal.key").stat().st_mode & 0o077 == 0
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_the_command_line_puts_back_what_was_lost(loop: Loop, tmp_path: Path) -> None:
    config = str(tmp_path / "sharpen.toml")
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "copy"), "--config", config])
    assert done.exit_code == 0, done.output
    taken = CliRunner().invoke(app, ["restore", str(tmp_path / "copy"), "--config", config])
    assert isinstance(taken.exception, ConfigError) and "there already" in str(taken.exception)
    home = load(Path(config)).home
    home.rename(tmp_path / "lost")
    done = CliRunner().invoke(app, ["restore", str(tmp_path / "copy"), "--config", config])
    assert done.exit_code == 0, done.output
    assert Loop.open(Path(config)).store.champion() == loop.store.champion()


def test_a_backup_that_was_changed_is_not_put_back(loop: Loop, tmp_path: Path) -> None:
    target = back_up(loop, tmp_path / "copy")
    key = target / "journal.key"
    good = key.read_bytes()
    key.write_bytes(good[:-1])
    with pytest.raises(Refused, match="not what was copied"):
        restore(target, tmp_path / "again")
    key.unlink()
    with pytest.raises(Refused, match="not what was copied"):
        restore(target, tmp_path / "again")
    told = json.loads((target / MANIFEST).read_text())
    told["files"] = {"../outside": "00"}
    (target / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(Refused, match="outside of itself"):
        restore(target, tmp_path / "again")
    (target / MANIFEST).write_text("[]")
    with pytest.raises(ConfigError, match="no backup"):
        restore(target, tmp_path / "again")
    assert not (tmp_path / "again").exists() and not (tmp_path / "outside").exists()


def test_a_place_that_is_taken_or_inside_and_a_running_cycle_are_refused(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there already"):
        back_up(loop, tmp_path)
    with pytest.raises(ConfigError, match="lies in"):
        back_up(loop, loop.config.home / "copy")
    with loop.alone(), pytest.raises(Refused, match="running a cycle"):
        back_up(loop, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
