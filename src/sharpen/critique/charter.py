"""A versioned TOML file that a method goes by: the user's, or the one that is shipped.

In: a path or nothing, and the form that it has to have. Out: what it says, checked. Must not know what is done with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sharpen.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def read_charter(form: type[M], what: str, path: str = "") -> M:
    """Read the file at `path`, or `what`.toml as it is shipped. Raises: ConfigError naming place and fault."""
    source = Path(path) if path else files("sharpen.critique").joinpath(f"{what}.toml")
    where = named(what, path)
    try:
        return form.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} cannot be read: {error}", f"check [critique] {what}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}", "correct that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: '{place}': {first['msg'].lower()}", f"edit {where}") from error


def named(what: str, path: str) -> str:
    """Return what an error calls the file.

    >>> named("constitution", ""), named("constitution", "ours.toml")
    ('the shipped constitution', 'ours.toml')
    """
    return path or f"the shipped {what}"


def twice(names: Sequence[str]) -> str | None:
    """Return the first name that is there more than once.

    >>> twice(["a", "b", "a"])
    'a'
    """
    return next((name for name in names if names.count(name) > 1), None)
