"""One TOML file to and from the typed tree.

In: a path. Out: `Config`, or an error that names the place, the fault and the nearest known key. Must not know what a
stage does with its section.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sharpen.config.section import Section
from sharpen.config.sections import SQLITE, Config
from sharpen.errors import ConfigError

DEFAULT_PATH = Path("sharpen.toml")


def load(path: Path | str = DEFAULT_PATH, **overrides: Any) -> Config:
    """Read the file at `path`; relative paths inside it are taken from its folder.

    Raises: ConfigError with the place, the fault and the nearest known key.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no configuration file {path}.", "sharpen init") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "check the file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "correct that line") from error
    return parse(tree | overrides, where=str(path), folder=path.resolve().parent)


def parse(tree: dict[str, Any], *, where: str = "config", folder: Path | None = None) -> Config:
    """Check a tree of plain values. Raises: ConfigError."""
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, where), f"edit {where}") from error
    return _anchored(config, folder) if folder else config


def _anchored(config: Config, folder: Path) -> Config:
    """Make relative paths absolute, seen from the file's folder."""

    def suite(spec: str) -> str:
        source, mark, settings = spec.partition("?")
        prefix, colon, name = source.rpartition("hf:")
        if colon and not prefix and (folder / name).is_dir():
            return f"hf:{folder / name}{mark}{settings}"
        is_path = source and ":" not in source
        return str(folder / spec) if is_path else spec

    base = config.base
    if not Path(base).is_absolute() and (folder / base).exists():
        base = str(folder / base)
    settings = config.evaluation
    evaluation = settings.model_copy(
        update={
            "suite": suite(settings.suite),
            "guards": [suite(spec) for spec in settings.guards],
            "data": str(folder / settings.data) if settings.data else "",
        }
    )
    constitution = config.critique.constitution
    critique = config.critique.model_copy(
        update={"constitution": str(folder / Path(constitution).expanduser()) if constitution else ""}
    )
    home = (folder / config.home.expanduser()).resolve()
    store = config.store
    if store.startswith(SQLITE) and not store.startswith(SQLITE + "/"):
        store = f"{SQLITE}{folder / store.removeprefix(SQLITE)}"
    return config.model_copy(
        update={"home": home, "base": base, "store": store, "critique": critique, "evaluation": evaluation}
    )


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for item in error.errors():
        *section, key = [str(part) for part in item["loc"]]
        place = f"{where} [{'.'.join(section)}]" if section else where
        if item["type"] == "extra_forbidden":
            known = _keys(section)
            near = difflib.get_close_matches(key, known, n=1)
            guess = f" Did you mean '{near[0]}'?" if near else f" Known keys: {', '.join(known)}."
            lines.append(f"{place}: no key '{key}'.{guess}")
        else:
            lines.append(f"{place}: '{key}' = {item['input']!r}: {item['msg'].lower()}")
    return "\n".join(lines)


def _keys(section: list[str]) -> list[str]:
    kind: Any = Config
    for name in section:
        kind = kind.model_fields[name].annotation if name in getattr(kind, "model_fields", {}) else None
    return list(getattr(kind, "model_fields", {}))


def render(config: Config | None = None) -> str:
    """Return the file's text: what differs from the default set, every default commented out and explained."""
    config = config or Config()
    lines = ["# sharpen: what improves, how, and when it ships. Every key is optional.", ""]
    lines += _render_section(config, Config())
    for name in Config.model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            lines += ["", f"[{name}]  # {(type(value).__doc__ or '').strip()}", *_render_section(value, type(value)())]
    return "\n".join(lines) + "\n"


def _render_section(section: Section, default: Section) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            continue
        mark = "" if value != getattr(default, name) or name in ("base", "pace") else "# "
        lines.append(f"{mark}{name} = {_toml(value)}  # {field.description}")
    return lines


def _toml(value: Any) -> str:
    """Return a value as TOML writes it: JSON's form, but no surrogate pairs and no bare delete character."""
    if value is None:
        return ""  # TOML has no null: the key stays commented out
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
