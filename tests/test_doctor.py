"""The doctor finds what keeps a cycle from running, says what to type, and never falls over itself."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import shutil
import socket
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from sharpen import doctor
from sharpen.doctor import Finding, examine, look
from sharpen.errors import SharpenError
from sharpen.ledger import Facts, Ledger, unfinished
from sharpen.models.adapters import digest as adapter_digest
from sharpen.models.weights import digest as weights_digest
from sharpen.plugins import EXTRAS
from sharpen.promotion.journal import Journal
from sharpen.promotion.registry import undo
from sharpen.records import Deployment, ModelVersion
from sharpen.store import Store


def suite_file(path: Path, gate: int, train: int = 10) -> Path:
    rows = [
        {"prompt": f"{tier} question {number}", "reference": "yes", "tier": tier}
        for tier, count in (("train", train), ("gate", gate))
        for number in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration with which a cycle could run: an adapter serves, its base is a folder."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"weights")
    path = tmp_path / "sharpen.toml"
    write(path)
    suite_file(tmp_path / "target.jsonl", gate=20)
    suite_file(tmp_path / "guard.jsonl", gate=200)
    adapter = tmp_path / "home" / "adapters" / "made"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"adapter")
    digest = adapter_digest(adapter)
    adapter.rename(adapter.with_name(digest))
    store = opened(tmp_path)
    for number, (name, made) in enumerate((("ver_0", None), ("ver_1", digest))):
        version = ModelVersion(id=name, base="base", base_digest="b", template_digest="t", adapter_digest=made)
        previous = "ver_0" if number else None
        store.append(
            version,
            Deployment(
                id=f"dep_{number}", version_id=name, shares={name: 1.0}, previous_id=previous, reason="Because."
            ),
        )
    store.close()
    with sqlite3.connect(tmp_path / "home" / "mlflow.db") as mlflow:
        mlflow.execute("CREATE TABLE runs (id)")
    mlflow.close()
    return path


def write(path: Path, **changed: str) -> None:
    keys = {"base": "base", "suite": "target.jsonl", "guards": '["guard.jsonl"]', "port": str(free_port()), "host": ""}
    keys |= changed
    host = keys["host"] or "127.0.0.1"
    path.write_text(
        f'base = "{keys["base"]}"\nhome = "home"\n{keys.get("top", "")}\n'
        f'[gateway]\nhost = "{host}"\nport = {keys["port"]}\n'
        f'[evaluation]\nsuite = "{keys["suite"]}"\nguards = {keys["guards"]}\n{keys.get("end", "")}\n'
    )


def opened(folder: Path) -> Store:
    return Store.open(f"sqlite:///{folder / 'home' / 'store.db'}")


def finding(config: Path, name: str) -> Finding:
    return next(one for one in look(config) if one.name == name)


def test_where_all_is_well_nothing_is_to_mend(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {one.name: one.found for one in look(config) if one.state == "fail"} == {}
    assert examine(config)
    printed = capsys.readouterr().out
    assert "Everything a cycle needs is there." in printed
    assert "→" not in printed.partition("gateway")[0].replace("memory", "")


def test_every_part_is_looked_at(config: Path) -> None:
    names = [one.name for one in look(config)]
    assert names[:2] == ["Python", "configuration"]
    extras = [f"packages: {extra}" for extra in dict.fromkeys(EXTRAS.values())]
    assert names[2 : 2 + len(extras)] == extras
    assert names[2 + len(extras) :] == [
        "base", "disk", "memory", "SQLite", "store", "champion", "previous", "journal", "suite", "guard", "gateway",
        "MLflow", "cycle", "power",
    ]  # fmt: skip


def test_what_fails_is_printed_with_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not examine(tmp_path / "sharpen.toml")
    printed = capsys.readouterr().out
    assert "→ sharpen init" in printed
    assert "1 to mend" in printed


def test_a_wrong_configuration_is_said_and_the_packages_are_still_looked_at(config: Path) -> None:
    config.write_text('bsae = "x"')
    found = {one.name: one for one in look(config)}
    assert found["configuration"].state == "fail" and "Did you mean 'base'?" in found["configuration"].found
    assert found["packages: loop"].state == "ok"
    assert "store" not in found


def test_a_missing_package_is_named_with_the_line_to_type(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    gone = {"trl", "matplotlib"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in gone else real(name, *rest))
    train, report = finding(config, "packages: train"), finding(config, "packages: report")
    assert (train.state, train.found, train.next_step) == ("fail", "trl missing", "pip install 'sharpen[train]'")
    assert (report.state, report.found) == ("note", "matplotlib missing (not needed here)")


@pytest.mark.parametrize("base", ["nowhere/else/model", "./nowhere", "gone.gguf/", "package:no_such_package", "home"])
def test_a_base_that_is_not_there_fails(config: Path, base: str) -> None:
    write(config, base=base)
    found = finding(config, "base")
    assert found.state == "fail"
    assert found.next_step


def test_a_packaged_base_is_found_and_not_converted(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages" / "a_small_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package must not be run')")
    (package / "small.gguf").write_bytes(b"no real weights: converting them would fail")
    monkeypatch.syspath_prepend(package.parent)
    write(config, base="package:a_small_model")
    assert finding(config, "base") == Finding("base", "ok", "package:a_small_model: small.gguf")


def test_a_model_of_the_hub_that_is_not_here_is_a_note(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(config, base="someone/some-model-nobody-has")
    found = finding(config, "base")
    assert found.state == "note"
    assert "fetched at the first use" in found.found


def test_a_full_disk_fails_and_little_memory_is_a_note(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9, 8, 1_900_000_000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1_000_000_000))
    disk, free = finding(config, "disk"), finding(config, "memory")
    assert (disk.state, disk.found) == ("fail", f"1.9 GB free in {config.parent / 'home'}")
    assert (free.state, free.found) == ("note", "1.0 GB available")


def test_the_linked_sqlite_its_bug_and_the_journal_are_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(config.parent / "home" / "store.db") as connection:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
    monkeypatch.setattr(doctor.state, "wal_is_safe", lambda: False)
    told = finding(config, "SQLite").found
    assert told.startswith(f"{sqlite3.sqlite_version}: has the WAL-reset bug")
    assert told.endswith(f"journal mode of the store: {journal}")
    monkeypatch.setattr(doctor.state, "wal_is_safe", lambda: True)
    assert "bug" not in finding(config, "SQLite").found


def test_without_a_store_the_doctor_says_init_and_makes_none(config: Path) -> None:
    (config.parent / "home" / "store.db").unlink()
    found = finding(config, "store")
    assert (found.state, found.next_step) == ("fail", "sharpen init")
    assert not (config.parent / "home" / "store.db").exists()
    assert not examine(config)


def test_a_file_that_is_no_store_fails_without_a_traceback(config: Path) -> None:
    (config.parent / "home" / "store.db").write_bytes(b"this is no database" * 100)
    found = {one.name: one for one in look(config)}
    assert found["store"].state == "fail" and "not a database" in found["store"].found
    assert found["cycle"].state == "ok"


def test_a_store_that_a_newer_sharpen_made_fails(config: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{config.parent / 'home' / 'store.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    found = finding(config, "store")
    assert found.state == "fail"
    assert "newer sharpen" in found.found


def test_an_empty_store_has_no_champion(config: Path) -> None:
    (config.parent / "home" / "store.db").unlink()
    opened(config.parent).close()
    found = finding(config, "champion")
    assert (found.state, found.next_step) == ("fail", "sharpen init")


def test_an_adapter_that_changed_or_went_away_fails(config: Path) -> None:
    assert finding(config, "champion").found.endswith("intact")
    weights = next((config.parent / "home" / "adapters").glob("*/adapter_model.safetensors"))
    weights.write_bytes(b"adaptor")
    found = finding(config, "champion")
    assert found.state == "fail" and "has changed" in found.found and "sharpen undo" in found.next_step
    weights.unlink()
    assert "cannot be read: No such file" in finding(config, "champion").found
    store = opened(config.parent)
    undo(store, Journal.open(config.parent / "home"))
    store.close()
    assert (finding(config, "champion").state, finding(config, "previous").state) == ("ok", "note")


def test_a_suite_tells_how_many_cases_each_tier_has(config: Path) -> None:
    assert finding(config, "suite") == Finding("suite", "ok", "target: 10 train, 0 dev, 20 gate, 0 vault")
    suite_file(config.parent / "target.jsonl", gate=20, train=0)
    assert finding(config, "suite").state == "note"
    suite_file(config.parent / "target.jsonl", gate=9)
    assert finding(config, "suite").state == "fail"


@pytest.mark.parametrize("suite", ["", "nowhere.jsonl", "base/config.json", "reasoning-gym:no_such_task"])
def test_a_suite_that_cannot_be_loaded_fails(config: Path, suite: str) -> None:
    write(config, suite=suite)
    found = finding(config, "suite")
    assert found.state == "fail"
    assert found.next_step


def test_the_joint_power_is_told_before_anything_is_trained(config: Path) -> None:
    found = finding(config, "power")
    assert found.state == "note"
    assert "a challenger that gains 5 points and loses nothing is promoted with chance 0.0" in found.found
    assert "gate cases for 0.8: " in found.next_step and " of target, " in found.next_step
    suite_file(config.parent / "target.jsonl", gate=700)
    suite_file(config.parent / "guard.jsonl", gate=700)
    write(config, end="[promotion]\neffect = 0.2\nguard_margin = 0.15")
    assert finding(config, "power").state == "ok"
    suite_file(config.parent / "guard.jsonl", gate=12)
    assert "unarmed, too few cases for their margin: guard" in finding(config, "power").found


def test_a_guard_too_small_to_exclude_the_margin_is_a_note_with_the_size_it_needs(config: Path) -> None:
    assert finding(config, "guard").state == "ok"
    suite_file(config.parent / "guard.jsonl", gate=40)
    found = finding(config, "guard")
    assert found.state == "note"
    assert "even if no answer changes, a loss of 10.2 points cannot be excluded" in found.found
    assert "about 90 exclude a loss of 5 points" in found.next_step
    write(config, end="[promotion]\nguard_margin = 0.15")
    assert finding(config, "guard").state == "ok"
    write(config, guards="[]")
    assert finding(config, "guards").state == "note"


def test_a_port_that_is_taken_is_a_note_and_an_open_door_without_a_key_fails(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write(config, port=str(taken.getsockname()[1]))
        assert finding(config, "gateway").state == "note"
    write(config, host="0.0.0.0")
    assert finding(config, "gateway").state == "fail"


def test_mlflow_is_a_mirror_so_its_faults_are_notes(config: Path) -> None:
    database = config.parent / "home" / "mlflow.db"
    assert finding(config, "MLflow").found.endswith("0 runs")
    database.write_bytes(b"this is no database" * 100)
    broken = finding(config, "MLflow")
    assert broken.state == "note" and "file is not a database" in broken.found
    database.unlink()
    assert finding(config, "MLflow").next_step == "sharpen init"
    write(config, end="[tracking]\nmlflow = false")
    assert finding(config, "MLflow").found == "turned off"


def test_a_cycle_that_was_interrupted_is_noted_and_not_gone_on_with(config: Path) -> None:
    assert finding(config, "cycle").found == "none has run yet"
    path = config.parent / "home" / "ledger.db"
    ran: list[str] = []

    def step(name: str) -> Any:
        def run(facts: Facts) -> Facts:
            ran.append(name)
            return {}

        return run

    with Ledger(f"sqlite:///{path}", {name: step(name) for name in ("one", "two")}) as ledger:
        ledger.go("cycle-0001", {}, until="one")
    assert finding(config, "cycle").found == "cycle-0001 was interrupted"
    with (config.parent / "home" / "cycle.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert finding(config, "cycle").found == "cycle-0001 is running now"
    assert ran == ["one"]
    with Ledger(f"sqlite:///{path}", {name: step(name) for name in ("one", "two")}) as ledger:
        ledger.go("cycle-0001", {})
    assert finding(config, "cycle").found == "none is unfinished"
    assert ran == ["one", "two"]


def test_a_ledger_that_cannot_be_read_is_a_sentence(config: Path) -> None:
    path = config.parent / "home" / "ledger.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(SharpenError, match="The ledger cannot be read"):
        unfinished(f"sqlite:///{path}")
    assert finding(config, "cycle").state == "fail"


def test_a_check_that_breaks_is_a_line_of_the_table(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    found = finding(config, "memory")
    assert found.state == "fail"
    assert found.found == "could not be checked: ZeroDivisionError: what nobody thought of"


def test_the_gap_is_measured_only_where_it_is_asked_for(tmp_path: Path, tiny_base: Path) -> None:
    path = suite_file(tmp_path / "target.jsonl", gate=4, train=6)
    config = tmp_path / "sharpen.toml"
    config.write_text(
        f'base = "{tiny_base}"\nhome = "home"\n[evaluation]\nsuite = "{path}"\n[critique]\nmax_step_tokens = 4\n'
    )
    store = opened(tmp_path)
    version = ModelVersion(id="ver_0", base="tiny", base_digest=weights_digest(tiny_base), template_digest="t")
    store.append(version, Deployment(id="dep_0", version_id="ver_0", shares={"ver_0": 1.0}, reason="Because."))
    store.close()
    assert "gap" not in [one.name for one in look(config)]
    (found,) = [one for one in look(config, gap=True) if one.name == "gap"]
    assert found.state == "note" and found.found.startswith("On 6 cases of target the model answers 0.00")
    assert "self-critique may not label training data" in found.found
    assert len(list((tmp_path / "home" / "gap").glob("*.json"))) == 1
