"""The documents say what the code does."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sharpen.config import parse

ROOT = Path(__file__).parent.parent.parent
SRC = ROOT / "src" / "sharpen"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_the_page_on_configuration_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("make_configuration", ROOT / "docs" / "make_configuration.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: make docs"


WITH_EXAMPLES = [path for path in sorted(SRC.rglob("*.py")) if "\n    >>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_examples_in_the_docstrings_are_true(path: Path) -> None:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    result = doctest.testmod(importlib.import_module(".".join(parts).removesuffix(".__init__")))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    places = (ROOT, ROOT / "docs", ROOT / "src" / "sharpen")
    named = re.findall(r"`([\w/.]+(?:\.py|\.in|\.lock|\.md|/))`", text)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_the_tree_in_the_readme_is_the_tree() -> None:
    drawn = set(re.findall(r"^      ([a-z_]+(?:\.py|/))  ", (ROOT / "README.md").read_text(), re.MULTILINE))
    folders = {f"{path.parent.name}/" for path in (ROOT / "src" / "sharpen").glob("*/__init__.py")}
    assert folders - drawn == {"migrations/"}  # told beside the store
    assert [name for name in drawn if not (ROOT / "src" / "sharpen" / name).exists()] == []


def test_the_readme_s_configuration_is_valid() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert parse(tomllib.loads(blocks[0])).evaluation.suite == "cases.jsonl"


def test_every_command_in_the_documents_exists() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    verbs = set(re.findall(r"(?:^    |`)sharpen ([a-z]+)", text, re.MULTILINE))
    assert {"init", "serve", "cycle", "why", "undo", "show"} <= verbs
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run(
        [sys.executable, "-c", "from sharpen.cli import main; main()", "--help"],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert [verb for verb in verbs if not re.search(rf"\b{verb}  ", shown)] == []


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_the_notes_for_agents_stay_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) <= 60
