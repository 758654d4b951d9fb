"""The files for containers and services name what is there: files, verbs, the port. Nothing here can start them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from sharpen.cli import app
from sharpen.config import Config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "production"
PORT = str(Config().gateway.port)


def parses(words: list[str]) -> None:
    """Raise where the command line does not know these words."""
    group: Any = typer.main.get_command(app)
    context = click.Context(group)
    name, command, rest = group.resolve_command(context, words)
    assert command is not None and name == words[0]
    command.make_context(name, list(rest), parent=context, resilient_parsing=False)


def test_the_image_copies_files_that_are_there_and_starts_a_verb_that_is() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*)$", text, flags=re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
    [command] = re.findall(r"^CMD (\[.*\])$", text, flags=re.MULTILINE)
    parses(json.loads(command))
    assert f"EXPOSE {PORT}\n" in text and f"127.0.0.1:{PORT}/healthz" in text
    assert re.search(r"^USER \d+$", text, flags=re.MULTILINE), "not root"


def test_the_services_of_compose_start_verbs_that_are_there_and_only_on_loopback() -> None:
    told = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    assert (FOLDER / told["x-sharpen"]["build"]["context"]).resolve() == ROOT
    for service in told["services"].values():
        parses(service["command"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert told["services"]["gateway"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert "SHARPEN_API_KEY" in told["services"]["gateway"]["environment"]


@pytest.mark.parametrize("name", ["sharpen-gateway", "sharpen-keeper"])
def test_a_unit_starts_a_verb_that_is_there_and_not_as_root(name: str) -> None:
    text = (FOLDER / f"{name}.service").read_text()
    [command] = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    program, *words = shlex.split(command)
    assert program.endswith("/bin/sharpen")
    parses(words)
    assert "\nUser=sharpen\n" in text and "\nNoNewPrivileges=true\n" in text
