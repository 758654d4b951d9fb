"""The perspectives that an answer is looked at from: a versioned TOML file.

In: a path, or nothing for the one that is shipped. Out: perspectives. Must not know who speaks for them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sharpen.critique.charter import named, read_charter, twice
from sharpen.errors import ConfigError


class Perspective(BaseModel):
    """One position."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="what steps and issues call it")
    view: str = Field(min_length=1, description="who looks, after 'You are'")
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="what it counts for")
    reliability: float = Field(default=1.0, ge=0, le=1, description="how often its findings were right before")
    collection: str = Field(default="", description="perspective collection shown to it; empty: none")
    red_team: bool = Field(default=False, description="it attacks instead of reviewing")


class Perspectives(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = Field(description="the file's form")
    version: str = Field(min_length=1, description="changes whenever a perspective does")
    perspective: list[Perspective] = Field(min_length=2, description="the perspectives; one alone is no comparison")


def load_perspectives(path: str = "") -> Perspectives:
    """Read perspectives; without a path, those that are shipped. Raises: ConfigError naming place and fault."""
    read = read_charter(Perspectives, "perspectives", path)
    if name := twice([one.name for one in read.perspective]):
        where = named("perspectives", path)
        raise ConfigError(f"{where}: two perspectives are called '{name}'.", "rename one: a clone has no second vote")
    return read
