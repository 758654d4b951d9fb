"""What nothing refers to any more leaves the disk: adapters, training runs, snapshots written as Parquet.

In: a loop. Out: what went, or would go, and its size. Must not touch records: they say what there was.

Kept are the adapters of every version that was ever deployed (`undo` goes back to it), of the newest others, and of
what they were trained from. A folder that no record names is left by a cycle that was killed and began anew; while a
cycle is unfinished nothing is pruned, since its folders have no records yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sharpen.curation.bundle import bundles, delete_bundle
from sharpen.errors import Refused, StoreError
from sharpen.ledger import unfinished
from sharpen.loop import Loop
from sharpen.records import Deployment, ModelVersion, Snapshot, TrainingRun

_NO_SNAPSHOT = "no snapshot's"
NEWEST = 10  # chosen: versions that nobody deployed; one a night makes ten days


class Prunable(NamedTuple):
    """A folder that can go, why, and how many bytes it holds."""

    path: Path
    why: str
    size: int


def prunable(loop: Loop, newest: int = NEWEST) -> list[Prunable]:
    """Return what nothing refers to, adapters first. Raises: Refused while a cycle is unfinished; StoreError."""
    if unfinished(loop.config.ledger_url):
        raise Refused("A cycle is unfinished here.", "sharpen cycle  finishes it")
    versions = loop.store.find(ModelVersion)
    kept = _kept(loop, versions, newest)
    named = {one.adapter_digest: one.id for one in versions if one.adapter_digest}
    wanted = {one.adapter_digest for one in versions if one.id in kept}
    runs = {one.id for one in loop.store.find(TrainingRun)}
    found = [
        Prunable(folder, f"of '{named[folder.name]}', never deployed" if folder.name in named else "no version's", 0)
        for folder in _folders(loop.config.adapters)
        if folder.name not in wanted
    ]
    found += [Prunable(one, "no run's", 0) for one in _folders(loop.config.home / "runs") if one.name not in runs]
    return [*(one._replace(size=_size(one.path)) for one in found), *_bundles(loop)]


def prune(loop: Loop, newest: int = NEWEST) -> list[Prunable]:
    """Delete what `prunable` names; return it. Raises: Refused while a cycle runs or is unfinished; StoreError."""
    with loop.alone():
        found = prunable(loop, newest)
        for one in found:
            _delete(loop, one)
    return found


def _delete(loop: Loop, one: Prunable) -> None:
    if one.why == _NO_SNAPSHOT:
        delete_bundle(loop.config.curation.snapshots, one.path.name)
        return
    try:
        shutil.rmtree(one.path)
    except OSError as error:
        raise StoreError(f"{one.path} cannot be deleted: {error}", "check the folder's rights") from error


def _bundles(loop: Loop) -> list[Prunable]:
    address = loop.config.curation.snapshots
    if not address:
        return []
    known = {one.id for one in loop.store.find(Snapshot)}
    written = bundles(address)
    return [Prunable(Path(address) / name, _NO_SNAPSHOT, written[name]) for name in sorted(written.keys() - known)]


def _kept(loop: Loop, versions: list[ModelVersion], newest: int) -> set[str]:
    deployed: set[str] = set()
    for one in loop.store.find(Deployment):
        deployed |= {one.version_id, *one.shares, *([one.previous_id] if one.previous_id else [])}
    others = [one.id for one in versions if one.id not in deployed]
    kept = deployed | set(others[-newest:] if newest else [])
    parents = {one.id: one.parent for one in versions}
    for name in list(kept):
        up = parents.get(name)
        while up is not None and up not in kept:
            kept.add(up)
            up = parents.get(up)
    return kept


def _folders(place: Path) -> Iterator[Path]:
    return (one for one in sorted(place.iterdir()) if one.is_dir()) if place.is_dir() else iter(())


def _size(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
