"""`sharpen rollout` and `sharpen monitor`: what a person sees, and what it changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sharpen import console
from sharpen.cli import app
from sharpen.promotion.journal import Journal, check_journal
from sharpen.promotion.registry import register_base
from sharpen.store import Store
from tests.gateway.test_steward import share_of, with_canary
from tests.promotion.test_rollout import healthy, live


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(console.out, "width", 200)
    path = tmp_path / "sharpen.toml"
    path.write_text(
        'home = "state"\n[tracking]\nmlflow = false\n[rollout]\nmin_requests = 20\nmin_ratings = 10\n'
        "[monitoring]\nwindow_minutes = 1.0\nmin_window = 10\nreference = 10\n"
    )
    return path


@pytest.fixture
def store(config: Path) -> Store:
    return Store.open(f"sqlite:///{config.parent / 'state' / 'store.db'}")


def command(config: Path, *words: str) -> Result:
    done = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert done.exit_code == 0, done.output
    return done


def test_without_a_canary_it_says_who_answers(config: Path, store: Store) -> None:
    base = register_base(store, Journal.open(config.parent / "state"), "tiny", "b1", "t1").id
    for verb in ("status", "advance"):
        assert f"No canary is on its way; '{base}' answers." in command(config, "rollout", verb).output
    assert "No canary is on its way." in command(config, "rollout", "stop").output


def test_status_shows_the_evidence_and_changes_nothing_and_advance_moves(config: Path, store: Store) -> None:
    base = with_canary(store, config.parent / "state")
    healthy(store, base)
    shown = command(config, "rollout", "status").output
    assert f"'ver_1' answers 5% beside '{base}'" in shown
    for harm in ("ratings", "errors", "refusals"):
        assert harm in shown
    assert "go on: No harm at 5%" in shown
    assert share_of(store) == 0.05
    command(config, "rollout", "advance")
    assert share_of(store) == 0.25


def test_stop_gives_everything_back_with_its_reason_in_the_journal(config: Path, store: Store) -> None:
    base = with_canary(store, config.parent / "state")
    done = command(config, "rollout", "stop", "--reason", "A customer called.")
    assert f"'{base}' answers everything again." in done.output
    assert share_of(store) == 0.0
    assert store.champion().reason == "A customer called."
    assert check_journal(store, Journal.open(config.parent / "state")).faults == ()


def test_monitor_shows_windows_and_tells_a_drift_once(config: Path, store: Store) -> None:
    base = register_base(store, Journal.open(config.parent / "state"), "tiny", "b1", "t1").id
    assert "0 not normal, 0 of them new" in command(config, "monitor").output
    now = datetime.now(UTC)
    for place in range(200):
        reply = "I'm sorry, but I can't help with that." if place >= 150 else f"answer {place % 7}"
        live(store, base, 1, None, reply=reply, at=now - timedelta(seconds=(200 - place) * 6))
    shown = command(config, "monitor").output
    assert "refusal share" in shown
    assert " 0 of them new" not in shown
    again = command(config, "monitor").output
    assert " 0 of them new" in again
    told = json.loads(command(config, "monitor", "--json").output)
    assert "refusals" in {one["measure"] for one in told}
