"""The critique methods by name.

In: a name. Out: the method, or its graph drawn. Must not know what a method does.

A method is one file with one class; here is where the next one is entered.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.config import Config
from sharpen.critique.autogen_team import AutogenTeam
from sharpen.critique.constitutional import Constitutional
from sharpen.critique.cot import ChainOfThought
from sharpen.critique.method import Method, Scene
from sharpen.critique.perspectives import ManyPerspectives
from sharpen.critique.react import React
from sharpen.critique.refine import Refine
from sharpen.critique.reflexion import Reflexion
from sharpen.critique.self_refine import SelfRefine
from sharpen.critique.tree_of_thought import TreeOfThought
from sharpen.critique.voices import Said
from sharpen.errors import ConfigError
from sharpen.models.engine import Prompt, Request

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Refine, ChainOfThought, React, Reflexion, TreeOfThought, Constitutional, SelfRefine, AutogenTeam,
        ManyPerspectives,
    )
}  # fmt: skip


def find(name: str) -> type[Method]:
    """Return a method by its name. Raises: ConfigError."""
    if name not in METHODS:
        raise ConfigError(f"There is no critique method '{name}'.", f"one of {', '.join(METHODS)}")
    return METHODS[name]


def draw(name: str) -> str:
    """Return a method's graph as Mermaid text. Raises: ConfigError, MissingExtra."""
    nobody = _Nobody()
    return find(name)(Scene(Config(), nobody, nobody, nobody)).draw()


class _Nobody:
    """A voice for graphs that are drawn and never run."""

    def ask(self, requests: Sequence[Request]) -> list[Said]:
        """Answer nothing."""
        return [Said("", error="nobody is there") for _ in requests]

    def prefer(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]] | None:
        """Prefer nothing."""
        return None
