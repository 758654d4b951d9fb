"""Write 03-configuration.md from the configuration's own types: `make docs`. A test fails when the page is not true.

In: `sharpen.config`. Out: Markdown. Must not know values that are not in the code.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from sharpen.config import Config, Section

PAGE = Path(__file__).with_name("03-configuration.md")
HEAD = """# Configuration

One TOML file, `sharpen.toml`. Every key is optional; an empty file is a whole configuration. `sharpen init` writes it
with every default commented out. A key that is not known is an error that names the nearest one, and a value of the
wrong type is an error, never a conversion: `port = "8377"` is refused.

Two dials set the rest. `base` names the weights; where `[training]` leaves `rank` and `learning_rate` open, the size
of the base sets them. `pace` sets how much work a cycle does, where a key is left open:

{paces}

Relative paths are seen from the file's folder. The database's address is a SQLAlchemy URL; `sqlite:///PATH` and
`postgresql+psycopg://…` are tested.

*This page is written by `docs/make_configuration.py` from the code.*
"""


def page() -> str:
    """Return the whole page."""
    top = {name: field for name, field in Config.model_fields.items() if not _is_section(field.annotation)}
    parts = [HEAD.format(paces=_paces()), "## At the top of the file\n", _table(top)]
    for name, field in Config.model_fields.items():
        kind: Any = field.annotation
        if _is_section(kind):
            parts += [f"## `[{name}]`\n\n{kind.__doc__}\n", _table(kind.model_fields)]
    return "\n".join(parts)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _paces() -> str:
    paces = get_args(Config.model_fields["pace"].annotation)
    rows = [
        f"| {key} | " + " | ".join(f"{Config(pace=pace).paced(key):g}" for pace in paces) + " |"
        for key in ("rounds", "samples")
    ]
    return "\n".join(["| | " + " | ".join(paces) + " |", "|---|" + "---|" * len(paces), *rows])


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = [
        f"| `{name}` | {_kind(field)} | {_default(field)} | {field.description} |" for name, field in fields.items()
    ]
    return "\n".join(["| key | what it takes | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _kind(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is types.UnionType:  # T | None
        annotation = next(kind for kind in get_args(annotation) if kind is not types.NoneType)
    if get_origin(annotation) is Literal:
        return " or ".join(f'`"{value}"`' for value in get_args(annotation))
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "folder"}
    containers = {list: "list of texts", dict: "table of numbers by name"}
    shown = containers.get(get_origin(annotation)) or names[annotation.__name__]
    signs = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}
    bounds = [
        f"{sign} {getattr(limit, attribute):g}"
        for limit in field.metadata
        for kind, (attribute, sign) in signs.items()
        if isinstance(limit, kind)
    ]
    return ", ".join([shown, *bounds])


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "left open"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if isinstance(value, int | float | list | dict) else f'`"{value}"`'


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
