"""`sharpen export`: a version or a training set, as other tools read it.

In: an id and a form. Out: files. Must not hold logic of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpen import console
from sharpen.config import DEFAULT_PATH, load
from sharpen.curation_cli import place_of
from sharpen.records import ModelVersion, Snapshot


def export(
    what: Annotated[str, typer.Argument(help="a version's id, champion, or a snapshot's id")] = "champion",
    to: Annotated[
        str,
        typer.Option(
            help="a version: safetensors (merged), gguf (merged) or gguf-adapter; "
            "a snapshot: hf, trl-sft, trl-dpo, trl-kto, croissant or datasheet"
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="where to; in `home`/exports if left open")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="the configuration file")] = DEFAULT_PATH,
) -> None:
    """Write a version for another runtime, or a training set for another trainer."""
    if what.startswith(f"{Snapshot.prefix}_"):
        written = _snapshot(what, to or "hf", out, config)
    else:
        written = _version(what, to or "safetensors", out, config)
    console.out.print(f"wrote {written}")


def _version(version: str, to: str, out: Path | None, config: Path) -> Path:
    from sharpen.models.export import export as write
    from sharpen.models.weights import resolve
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    found = store.get(ModelVersion, store.champion().version_id if version == "champion" else version)
    adapter = settings.adapters / found.adapter_digest if found.adapter_digest else None
    place = out or settings.home / "exports" / (found.id + ("" if to == "safetensors" else f".{to}"))
    return write(resolve(settings.base), adapter, to, place)


def _snapshot(snapshot: str, to: str, out: Path | None, config: Path) -> Path:
    from sharpen.curation.exports import export as write

    settings = load(config)
    return Path(write(place_of(settings), snapshot, to, out or settings.home / "exports" / f"{snapshot}.{to}"))
