"""The verbs about training sets: what becomes of an exchange, and how two snapshots differ.

In: arguments. Out: text and tables. Must not hold logic of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from sharpen import console
from sharpen.config import DEFAULT_PATH, Config, load
from sharpen.errors import ConfigError
from sharpen.store import Store

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]
SnapshotArgument = Annotated[str, typer.Argument(help="a snapshot's id")]
_SHOWN = 5  # chosen: rows of a difference that a terminal shows; --json has all


def explain(config: Path, record_id: str) -> None:
    """Print what curating now makes of a record, and why."""
    from sharpen.curation.explain import explain as told
    from sharpen.curation.plan import Plan
    from sharpen.curation.selection import select
    from sharpen.loop import Loop
    from sharpen.memory.vectors import embedder_of
    from sharpen.records import ModelVersion

    loop = Loop.open(config)
    held_out = loop.held_out() if loop.config.evaluation.suite else []
    versions = [version.id for version in loop.store.find(ModelVersion)]
    plan = Plan.of(loop.config.mining, held_out, loop.config.seed, versions)
    found = select(loop.store, plan, embedding=lambda: embedder_of(loop.config), folder=loop.config.home / "curation")
    lines = told(loop.store, record_id, found, plan)
    if loop.config.integrity.weigh:
        lines += why_weighed(loop.config, loop.store, record_id)
    for line in lines:
        console.out.print(escape(line), highlight=False, soft_wrap=True)


def why_weighed(config: Config, store: Store, record_id: str) -> list[str]:
    """Return why the feedback behind a record, an example, an exchange or itself, weighs what it weighs."""
    from sharpen.curation.emphasis import by_integrity
    from sharpen.records import Example, Feedback

    found = by_integrity(config, store)
    if found is None:
        return []
    behind = [record_id, *(one.id for one in store.find(Feedback, subjects=[record_id]))]
    behind += [name for one in store.find(Example, ids=[record_id]) for name in one.evidence]
    return found.explain(behind)


def diff(
    one: SnapshotArgument,
    other: SnapshotArgument,
    config: ConfigOption = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what two snapshots have not in common: rows, what filters dropped, settings."""
    from sharpen.curation.explain import difference

    found = difference(place_of(load(config)), one, other)
    if as_json:
        console.out.print_json(json.dumps(found))
        return
    for name, (left, right) in found["settings"].items():
        console.out.print(f"{name}: {escape(str(left))} → {escape(str(right))}", highlight=False)
    for name in ("rows", "counts", "dropped", "code"):
        left, right = found[name]
        console.out.print(f"{name}: {left} → {right}" if left != right else f"{name}: {left}", highlight=False)
    for sign, rows in zip("-+", found["only"], strict=True):
        for row in rows[:_SHOWN]:
            console.out.print(escape(f"{sign} {row[:200]}"), highlight=False, soft_wrap=True)
        if len(rows) > _SHOWN:
            console.out.print(f"{sign} and {len(rows) - _SHOWN} more")


def place_of(settings: Config) -> str:
    """Return where snapshots are written. Raises: ConfigError when they are only in the store."""
    if not settings.curation.snapshots:
        raise ConfigError(
            "[curation] snapshots is not set: snapshots are only in the store.", 'snapshots = "training-sets"'
        )
    return settings.curation.snapshots
