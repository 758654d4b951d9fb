from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from sharpen import install as installing
from sharpen.errors import BoundaryError, ConfigError, MissingExtra
from sharpen.install import RECIPES, environment, install, names


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return []


def npm(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called npm before every other one; it keeps its arguments."""
    tool, kept = folder / "npm", folder / "arguments"
    folder.mkdir(exist_ok=True)
    tool.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {kept}\n{program}\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return kept


def test_what_can_be_installed_is_the_recipes_and_the_extras() -> None:
    assert {"deepchecks", "promptfoo", "autogen", "train", "all"} <= set(names())


def test_an_unknown_part_names_the_nearest(said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        install("deepcheck", said.append)
    assert caught.value.next_step == "did you mean 'deepchecks'?"


def test_promptfoo_gets_a_folder_of_its_own_once_and_no_package_may_run_code(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = npm(tmp_path / "bin", "exit 0", monkeypatch)
    with pytest.raises(MissingExtra, match="sharpen install promptfoo"):
        environment("promptfoo")
    install("promptfoo", said.append)
    folder = environment("promptfoo")
    arguments = kept.read_text().split()
    assert {"--ignore-scripts", "promptfoo@0.121.20", str(folder)} <= set(arguments)
    assert said[-1] == "promptfoo is installed."
    install("promptfoo", said.append)
    assert kept.read_text().split() == arguments  # nothing was done again


def test_an_installation_that_failed_does_not_count_and_is_begun_again(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tmp_path / "bin", "exit 3", monkeypatch)
    with pytest.raises(BoundaryError, match="status 3"):
        install("promptfoo", said.append)
    with pytest.raises(MissingExtra):
        environment("promptfoo")
    npm(tmp_path / "bin", "exit 0", monkeypatch)
    install("promptfoo", said.append)
    assert environment("promptfoo").is_dir()


def test_a_new_recipe_makes_the_old_folder_out_of_date(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tmp_path / "bin", "exit 0", monkeypatch)
    install("promptfoo", said.append)
    newer = installing.Recipe("npm", ("promptfoo@9",))
    monkeypatch.setitem(RECIPES, "promptfoo", newer)
    with pytest.raises(MissingExtra):
        environment("promptfoo")


def test_without_npm_it_says_what_brings_it(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BoundaryError) as caught:
        install("promptfoo", said.append)
    assert "Node.js" in caught.value.next_step


def test_an_extra_is_pips_business_and_autogen_ignores_its_pins(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "true")  # a program that does nothing, successfully
    install("train", said.append)
    install("autogen", said.append)
    assert said[0] == "true -m pip install sharpen[train]"
    assert said[2].startswith("true -m pip install --no-deps autogen-agentchat==0.7.5")


@pytest.mark.slow
def test_deepchecks_is_installed_for_real_in_an_environment_of_its_own() -> None:
    install("deepchecks")
    assert (environment("deepchecks") / "bin" / "python").exists()
