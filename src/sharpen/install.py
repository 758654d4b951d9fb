"""`sharpen install NAME`: the recipe of each part that is not there yet.

In: a part's name. Out: the part, in this environment or in one of its own. Must not know what the part is for.

Most parts are extras, and pip knows them. Some cannot share our environment: their pins clash with ours (Deepchecks,
which is also under the AGPL and therefore runs as a program of its own), or they are not Python (promptfoo). Those get
a folder in the user's cache; so do parts that would slow every other process down, because Transformers imports them
where it finds them (DeepSpeed, bitsandbytes): only the trainer child that needs one has its folder on its path. A
folder counts only when its recipe's mark is in it, which is written last: an
installation that was killed is begun again.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path

from platformdirs import user_cache_path

from sharpen.durable import write_text
from sharpen.errors import BoundaryError, ConfigError, MissingExtra
from sharpen.records import content_hash

Say = Callable[[str], None]
_MARK = ".sharpen-recipe"


@dataclass(frozen=True)
class Recipe:
    """How a part is installed: `what` to get, with which `tool`."""

    tool: str  # "venv", "npm" and "overlay" make a folder of its own; "no-deps" installs here and ignores pins
    what: tuple[str, ...]
    flags: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


RECIPES = {
    # 0.19.1 names no upper bounds, and breaks on NumPy 2, scikit-learn 1.8, setuptools 82 and pandas 3.
    "deepchecks": Recipe(
        "venv", ("deepchecks[nlp]==0.19.1", "numpy<2", "scikit-learn<1.8", "setuptools<82", "pandas<3")
    ),
    "qlora": Recipe("overlay", ("bitsandbytes==0.50.2",)),
    # A source archive. It compiles nothing then, looks for torch while it is built, and runs on a CPU too.
    "deepspeed": Recipe(
        "overlay",
        ("deepspeed==0.19.8", "hjson==3.1.0", "ninja==1.13.2", "py-cpuinfo==9.0.0", "einops==0.8.2", "msgpack==1.2.4"),
        ("--no-build-isolation",),
        (("DS_BUILD_OPS", "0"),),
    ),
    # The last release with PPO in it: `sharpen bench ppo` sets ours beside it.
    "trl-ppo": Recipe("overlay", ("trl==1.12.0",)),
    "promptfoo": Recipe("npm", ("promptfoo@0.121.20",)),
    # It pins protobuf 5, and works with the 6 that others need.
    "autogen": Recipe(
        "no-deps",
        ("autogen-agentchat==0.7.5", "autogen-core==0.7.5", "autogen-ext==0.7.5", "aiofiles>=24", "jsonref>=1.1"),
    ),
}

MODULES = {"qlora": "bitsandbytes", "deepspeed": "deepspeed"}


def names() -> list[str]:
    """Return what can be installed: the recipes and the package's extras."""
    return sorted({*RECIPES, *(metadata("sharpen").get_all("Provides-Extra") or [])})


def environment(name: str) -> Path:
    """Return the folder of a part that lives on its own. Raises: MissingExtra with the line to type."""
    folder = _folder(name)
    mark = folder / _MARK
    if not mark.is_file() or mark.read_text(encoding="utf-8") != _digest(name):
        raise MissingExtra(name, name)
    return folder


def overlay(name: str) -> list[str]:
    """Return the folders to put on a child's path for this part; none where it is installed here already.

    Raises: MissingExtra.
    """
    try:
        return [str(environment(name))]
    except MissingExtra:
        if importlib.util.find_spec(MODULES[name]) is None:
            raise
        return []


def install(name: str, say: Say = print) -> None:
    """Install a part; what is there already is left as it is.

    Raises: ConfigError when there is no such part; BoundaryError when a tool is missing or fails.
    """
    recipe = RECIPES.get(name)
    if recipe is None and name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        guess = f"did you mean '{near[0]}'?" if near else f"one of {', '.join(names())}"
        raise ConfigError(f"There is no part '{name}' to install.", guess)
    if recipe is None:
        _do([sys.executable, "-m", "pip", "install", f"sharpen[{name}]"], say)
    elif recipe.tool == "no-deps":
        _do([sys.executable, "-m", "pip", "install", "--no-deps", *recipe.what], say)
    else:
        _alone(name, recipe, say)
    say(f"{name} is installed.")


def _alone(name: str, recipe: Recipe, say: Say) -> None:
    folder = _folder(name)
    try:
        environment(name)
    except MissingExtra:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        {"venv": _venv, "npm": _npm, "overlay": _overlay}[recipe.tool](folder, recipe, say)
        write_text(folder / _MARK, _digest(name))


def _venv(folder: Path, recipe: Recipe, say: Say) -> None:
    venv.create(folder, with_pip=True)
    _do([str(folder / "bin" / "python"), "-m", "pip", "install", *recipe.what], say)


def _overlay(folder: Path, recipe: Recipe, say: Say) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), *recipe.flags]
    _do([*command, *recipe.what], say, dict(recipe.environment))


def _npm(folder: Path, recipe: Recipe, say: Say) -> None:
    if shutil.which("npm") is None:
        raise BoundaryError("npm is not installed.", "install Node.js 20 or newer, which brings npm")
    write_text(folder / "package.json", '{"name": "sharpen-part", "version": "1.0.0", "private": true}\n')
    _do(["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *recipe.what], say)


def _folder(name: str) -> Path:
    return user_cache_path("sharpen") / "parts" / name


def _digest(name: str) -> str:
    return content_hash([RECIPES[name].tool, RECIPES[name].what])


def _do(command: list[str], say: Say, environment: dict[str, str] | None = None) -> None:
    say(" ".join([*(f"{name}={value}" for name, value in (environment or {}).items()), *command]))
    done = subprocess.run(command, check=False, env=os.environ | (environment or {}))
    if done.returncode != 0:
        raise BoundaryError(
            f"'{command[0]}' ended with status {done.returncode}.", "read what it said above; try again"
        )
