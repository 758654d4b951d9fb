"""The principles that an answer is held against: a versioned TOML file.

In: a path, or nothing for the one that is shipped. Out: principles. Must not know who reads them.
Source: Bai et al. 2022, Constitutional AI, arXiv:2212.08073 (the idea; these principles are our own).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sharpen.critique.charter import named, read_charter, twice
from sharpen.errors import ConfigError


class Principle(BaseModel):
    """One rule that a good answer keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="what steps and issues call it")
    question: str = Field(min_length=1, description="asked of an answer; yes means that it breaks the rule")
    revision: str = Field(min_length=1, description="what to do about it")
    severity: Literal["low", "medium", "high"] = Field(description="how much a breach matters")


class Constitution(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = Field(description="the file's form")
    version: str = Field(min_length=1, description="changes whenever a principle does")
    principle: list[Principle] = Field(min_length=1, description="the principles, the most important first")


def load_constitution(path: str = "") -> Constitution:
    """Read a constitution; without a path, the one that is shipped. Raises: ConfigError naming place and fault."""
    read = read_charter(Constitution, "constitution", path)
    if name := twice([one.name for one in read.principle]):
        raise ConfigError(f"{named('constitution', path)}: two principles are called '{name}'.", "rename one")
    return read
