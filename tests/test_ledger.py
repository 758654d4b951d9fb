from __future__ import annotations

import io
import json
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import EngineError
from sharpen.ledger import APPLICATION_VERSION, Facts, Ledger, Step, history

CYCLE = "cycle-0001"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


class Work:
    """Three steps that note each start; the second fails while it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.broken = False

    def _step(self, name: str) -> Step:
        def run(facts: Facts) -> Facts:
            self.begun.append(name)
            if name == "two" and self.broken:
                raise EngineError("the model is away", "start it")
            return {name: len(facts), "last": name}

        return run

    @property
    def steps(self) -> dict[str, Step]:
        return {name: self._step(name) for name in ("one", "two", "three")}


def go(url: str, steps: dict[str, Step], pass_id: str = CYCLE, facts: Facts | None = None, **more: Any) -> Facts:
    with Ledger(url, steps) as ledger:
        return ledger.go(pass_id, facts or {"cycle_id": pass_id}, **more)


DONE = {"cycle_id": CYCLE, "one": 1, "two": 3, "three": 4, "last": "three"}


def test_a_pass_hands_the_facts_from_step_to_step(url: str) -> None:
    work = Work()
    assert go(url, work.steps) == DONE
    assert work.begun == ["one", "two", "three"]


def test_a_ledger_whose_tables_are_being_made_has_no_passes_yet(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as made:
        made.execute("CREATE TABLE dbos_migrations (version INTEGER)")
    assert history(f"sqlite:///{tmp_path / 'ledger.db'}") == []


def test_a_stderr_that_was_closed_between_two_passes_does_no_harm(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("dbos")
    monkeypatch.setattr(logger, "handlers", [])
    with (soon_closed := io.StringIO()), monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", soon_closed)
        go(url, Work().steps)
    assert go(url, Work().steps, "cycle-0002") == DONE | {"cycle_id": "cycle-0002"}
    logger.critical("what DBOS says of its own failures")
    assert capfd.readouterr().err == ""


def test_a_step_that_raises_is_tried_again_by_the_next_start_and_the_others_are_not(url: str) -> None:
    work = Work()
    work.broken = True
    for _ in range(3):
        with pytest.raises(EngineError, match="the model is away") as error:
            go(url, work.steps)
        assert error.value.next_step == "start it"
    assert work.begun == ["one", "two", "two", "two"]
    with Ledger(url, work.steps) as ledger:
        assert ledger.passes() == {CYCLE: False}
        assert ledger.finished_steps(CYCLE) == {"one": {"one": 1, "last": "one"}}
        work.broken = False
        assert ledger.go(CYCLE, {"other": "facts that are ignored"}) == DONE
        assert ledger.passes() == {CYCLE: True}
    assert work.begun == ["one", "two", "two", "two", "two", "three"]


def test_a_finished_pass_gives_its_facts_at_once(url: str) -> None:
    work = Work()
    go(url, work.steps)
    assert go(url, work.steps) == DONE
    assert go(url, {"one": work.steps["one"]}) == DONE  # whatever the steps are by now
    assert work.begun == ["one", "two", "three"]


def test_a_pass_stops_after_the_step_that_was_named_and_goes_on_later(url: str) -> None:
    work = Work()
    assert go(url, work.steps, until="one") == {"cycle_id": CYCLE, "one": 1, "last": "one"}
    assert go(url, work.steps, until="one") == {"cycle_id": CYCLE, "one": 1, "last": "one"}
    assert go(url, work.steps, until="two")["last"] == "two"
    assert work.begun == ["one", "two"]
    assert go(url, work.steps) == DONE
    assert work.begun == ["one", "two", "three"]


def test_two_passes_stand_in_the_order_they_began(url: str) -> None:
    work = Work()
    with Ledger(url, work.steps) as ledger:
        ledger.go("cycle-0001", {"cycle_id": "cycle-0001"})
        ledger.go("cycle-0002", {"cycle_id": "cycle-0002"}, until="two")
        assert list(ledger.passes().items()) == [("cycle-0001", True), ("cycle-0002", False)]
        assert list(ledger.finished_steps("cycle-0001")) == ["one", "two", "three"]
        assert list(ledger.finished_steps("cycle-0002")) == ["one", "two"]


def test_an_unfinished_pass_waits_until_it_is_asked_for(url: str) -> None:
    work = Work()
    go(url, work.steps, until="one")
    with Ledger(url, work.steps) as ledger:
        assert ledger.passes() == {CYCLE: False}
    assert work.begun == ["one"]


def test_what_json_cannot_say_is_an_error_not_a_hang(url: str) -> None:
    with pytest.raises(Exception, match=r"(?i)serializ|JSON"):
        go(url, {"one": lambda facts: {"path": object()}})
    assert go(url, {"one": lambda facts: {"path": "said in words"}})["path"] == "said in words"


def test_the_file_is_plain_json_in_rollback_mode_under_a_fixed_version(url: str, tmp_path: Path) -> None:
    go(url, Work().steps)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        (kept,) = connection.execute("SELECT application_version, serialization FROM workflow_status").fetchall()
        assert kept == (APPLICATION_VERSION, "portable_json") == ("1", "portable_json")
        query = "SELECT function_name, output FROM operation_outputs ORDER BY function_id"
        steps = connection.execute(query).fetchall()
    assert [name for name, _ in steps] == ["one", "two", "three"]
    assert json.loads(steps[0][1]) == {"one": 1, "last": "one"}
    assert b"\x80\x04" not in (tmp_path / "ledger.db").read_bytes()  # how a pickle begins
    assert b"gASV" not in (tmp_path / "ledger.db").read_bytes()  # and how it does in base64


PASS = """
import os, signal, sys
from pathlib import Path
from sharpen.ledger import Ledger

folder = Path(sys.argv[1])

def step(name):
    def run(facts):
        with (folder / "effects").open("a") as file:
            file.write(name + "\\n")
        return {name: len(facts)}
    return run

with Ledger(f"sqlite:///{folder / 'ledger.db'}", {name: step(name) for name in ("one", "two", "three")}) as ledger:
    print(sorted(ledger.go("cycle-0001", {"cycle_id": "cycle-0001"}).items()), flush=True)
"""


Run = Callable[[str | None], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(failpoint: str | None) -> subprocess.CompletedProcess[str]:
        if failpoint:
            monkeypatch.setenv("SHARPEN_FAILPOINT", failpoint)
        else:
            monkeypatch.delenv("SHARPEN_FAILPOINT", raising=False)
        command = [sys.executable, "-c", PASS, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.mark.faults
def test_a_killed_pass_goes_on_from_its_last_finished_step(run_pass: Run, tmp_path: Path) -> None:
    places = ("one.before_ledger", "one.after_ledger", "three.after_ledger")
    for place in places:
        assert run_pass(place).returncode == -signal.SIGKILL, place
    done = run_pass(None)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[('cycle_id', 'cycle-0001'), ('one', 1), ('three', 3), ('two', 2)]\n"
    # One killed before the ledger had it runs again; one that the ledger has does not.
    assert (tmp_path / "effects").read_text().split() == ["one", "one", "two", "three"]
