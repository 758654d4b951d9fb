"""`sharpen memory`: what a person sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpen import console
from sharpen.cli import app
from sharpen.memory.keep import remember
from sharpen.records import Message
from sharpen.store import Store

FAILED = ["my card was stolen", "someone stole my card", "the card is stolen", "my password is wrong", "wrong password"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(console.out, "width", 200)  # rows in one line, whatever the terminal
    path = tmp_path / "sharpen.toml"
    path.write_text('home = "state"\n[memory]\nrecall = "hybrid"\n')
    store = Store.open(f"sqlite:///{tmp_path / 'state' / 'store.db'}")
    for place, text in enumerate(FAILED):
        question = (Message(role="user", content=text),)
        remember(store, question, "a loan", [f"trc_{place}"], "score", score=0.0, reason="the verifier said no")
    store.close()
    return path


def said(config: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["memory", *arguments, "--config", str(config)])
    assert done.exit_code == 0, done.output
    return done.output


def test_rebuild_then_search_finds_by_meaning(config: Path) -> None:
    assert "5 memories are in the index (chroma)" in said(config, "rebuild")
    shown = said(config, "search", "a thief took my credit card", "-k", "1")
    assert "card" in shown
    assert "password" not in shown


def test_failures_are_shown_as_named_patterns_with_counts(config: Path) -> None:
    shown = said(config, "failures")
    rows = [line for line in shown.splitlines() if "%" in line]
    assert ["stolen" in rows[0], "3" in rows[0], "60%" in rows[0]] == [True] * 3
    assert "password" in rows[1]
    assert said(config, "failures") == shown


def test_documents_are_remembered_and_found(config: Path, tmp_path: Path) -> None:
    (tmp_path / "handbook.txt").write_text("A lost card is blocked within a minute.\n")
    assert "1 passages of handbook.txt" in said(config, "add", str(tmp_path / "handbook.txt"))
    assert "blocked within a minute" in said(config, "search", "how fast is a lost card blocked", "-k", "1")


def test_an_empty_memory_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sharpen.toml"
    path.write_text("")
    assert "Nothing that fits" in said(path, "search", "anything")
    assert "No failures" in said(path, "failures")


def test_words_of_strangers_cannot_draw_on_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 200)
    path = tmp_path / "sharpen.toml"
    path.write_text("")
    store = Store.open(f"sqlite:///{tmp_path / '.sharpen' / 'store.db'}")
    remember(store, (Message(role="user", content="\x1b[2J[bold red]card[/]\x1b]0;t\x07"),), "x", ["trc_1"])
    store.close()
    shown = said(path, "search", "card")
    assert "[bold red]card[/]" in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
