"""`sharpen run` with real cycles: a tiny model, child processes, the ledger's own times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sharpen.capture.feedback import record_feedback
from sharpen.config import load
from sharpen.errors import NotFound
from sharpen.keeper import keep, look
from sharpen.ledger import Ledger, history
from sharpen.records import Trace, Verdict
from sharpen.store import Store
from tests.faults import cycles


class SeenError(Exception):
    """The test has seen what it came for."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a deployment to which 24 people have said something."""
    return cycles.build(tmp_path_factory.mktemp("keeper"))


@pytest.fixture
def config(deployment: Path, tmp_path: Path) -> Path:
    return cycles.copy(deployment, tmp_path / "d")


def set_run(config: Path, **values: object) -> None:
    """Put [run] last in the file, in place of the one there."""
    head = config.read_text().partition("\n[run]")
    rest = head[2].partition("\n[")
    lines = [f"{name} = {value}" for name, value in values.items()]
    config.write_text("\n".join([head[0], *(["[" + rest[2]] if rest[1] else []), "[run]", *lines]) + "\n")


def test_a_cycle_that_is_due_runs_to_its_verdict_and_the_next_waits(config: Path) -> None:
    set_run(config, min_feedback=24)
    said: list[str] = []
    assert keep(config, said.append, once=True) == 0
    settings = load(config)
    store = Store.open(settings.store_url)
    assert store.count(Verdict) == 1
    assert said == ["A cycle begins: 24 new pieces of feedback."]
    assert keep(config, said.append, once=True) == 0
    assert store.count(Verdict) == 1
    assert said[1].startswith("Waiting: 0 of 24 new pieces of feedback")
    (past,) = history(settings.ledger_url)
    assert past.is_finished
    assert len(past.steps) == 6
    assert all(begin <= end for begin, end in past.steps)

    trace = store.find(Trace, limit=1)[0]
    record_feedback(store, trace_id=trace.id, rating=1, key="later")
    assert not look(settings).go
    assert look(settings, datetime.now(UTC) + timedelta(hours=25)).go
    store.close()


def test_a_cycle_stops_between_stages_when_the_budget_ends_and_goes_on_in_the_next_window(config: Path) -> None:
    set_run(config, min_feedback=24, budget_hours=1e-6)
    assert keep(config, lambda _: None, once=True) == 0
    settings = load(config)
    (past,) = history(settings.ledger_url)
    assert not past.is_finished
    assert len(past.steps) == 1  # a stage is never cut short; the second is not begun
    said: list[str] = []
    assert keep(config, said.append, once=True) == 0
    assert "is spent; there is room again on" in said[0]
    assert len(history(settings.ledger_url)[0].steps) == 1
    assert look(settings, datetime.now(UTC) + timedelta(days=8)).why == "cycle-0001 was interrupted after 1 stages"
    set_run(config, min_feedback=24)
    assert keep(config, lambda _: None, once=True) == 0
    assert history(settings.ledger_url)[0].is_finished


def test_a_cycle_that_fails_is_tried_again_later_and_later_and_the_file_is_read_anew(config: Path) -> None:
    set_run(config, min_feedback=24, look_s=2.0)
    weights = next((config.parent / "base").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".away"))
    said, slept = [], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            weights.with_suffix(".away").rename(weights)  # somebody mends it
        if len(slept) == 3:
            raise SeenError

    with pytest.raises(SeenError):
        keep(config, said.append, sleep=sleep)
    assert slept == [4.0, 8.0, 2.0]
    assert "nothing is lost. It is tried again in 4 s" in said[1]
    assert history(load(config).ledger_url)[0].is_finished


def test_killing_the_keeper_takes_the_cycle_with_it_and_the_next_goes_on(config: Path) -> None:
    set_run(config, min_feedback=24)
    command = [sys.executable, "-m", "sharpen.cli", "run", "--config", str(config)]
    settings = load(config)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as keeper:
        try:
            deadline = time.monotonic() + 120
            while not history(settings.ledger_url) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            os.kill(keeper.pid, signal.SIGKILL)
    assert history(settings.ledger_url), "no cycle was begun"
    assert not history(settings.ledger_url)[0].is_finished
    said: list[str] = []
    assert keep(config, said.append, once=True) == 0  # it would be refused while another process ran the cycle
    assert "cycle-0001 was interrupted" in said[0]
    assert history(settings.ledger_url)[0].is_finished


def test_before_init_it_says_what_to_type(tmp_path: Path) -> None:
    config = tmp_path / "sharpen.toml"
    config.write_text("")
    with pytest.raises(NotFound, match="sharpen init"):
        keep(config, print, once=True)


def test_history_is_read_from_postgres_too_and_is_empty_before_the_first_pass(postgres_url: str) -> None:
    assert history(postgres_url) == []
    with Ledger(postgres_url, {"one": lambda facts: {}, "two": lambda facts: {}}) as ledger:
        ledger.go("cycle-0001", {}, until="one")
    (past,) = history(postgres_url)
    assert (past.pass_id, past.is_finished, len(past.steps)) == ("cycle-0001", False, 1)
