"""The page on critique shows the graphs that run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from sharpen.cli import app
from sharpen.config import CritiqueSection
from sharpen.critique.methods import METHODS, draw

PAGE = Path(__file__).parent.parent.parent / "docs" / "11-critique.md"


@pytest.mark.parametrize("name", METHODS)
def test_the_graph_on_the_page_is_the_graph_that_runs(name: str) -> None:
    section = PAGE.read_text(encoding="utf-8").partition(f"### `{name}`")[2]
    drawn = re.search(r"```mermaid\n(.*?)\n```", section, re.DOTALL)
    assert drawn and drawn[1] == draw(name).strip()


def test_a_graph_is_printed_for_whoever_asks() -> None:
    done = CliRunner().invoke(app, ["draw", "cot"])
    assert (done.exit_code, done.stdout.strip()) == (0, draw("cot").strip())


def test_every_method_can_be_configured_and_every_configured_method_is_there() -> None:
    assert set(get_args(CritiqueSection.model_fields["method"].annotation)) == set(METHODS)
