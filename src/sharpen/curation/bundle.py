"""A snapshot as files that anyone can read and nobody can change unnoticed: Parquet, named by content, and a manifest.

In: what is learned, and an address: a folder, or any fsspec store. Out: the files, written once; and back, verified.
Must not know the store of records.

Files go first, the manifest last: a snapshot without a manifest is not there. Nothing is renamed and nothing is
overwritten, so that object stores will do.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from sharpen.curation.candidate import Candidate, content_digest, turns
from sharpen.curation.features import Features
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection
from sharpen.errors import ConfigError, Refused, StoreError
from sharpen.plugins import part

MANIFEST = "manifest.json"
ROWS_PER_FILE = 100_000  # chosen: files of about 100 MB
_FORMAT = 1


def write_bundle(
    address: str,
    name: str,
    selection: Selection,
    plan: Plan,
    *,
    datasheet: Mapping[str, Any] | None = None,
    features: Features | None = None,
) -> dict[str, Any]:
    """Write a snapshot to `address`/`name` and return its manifest; one that is there is verified, not written.

    Raises: Refused when another snapshot has that name; StoreError when the place refuses; MissingExtra.
    """
    place = Place(address, name)
    total = hashlib.sha256()
    files = []
    for start in range(0, len(selection.kept), ROWS_PER_FILE):
        rows = [selection.rows[at] for at in selection.kept[start : start + ROWS_PER_FILE]]
        for one in rows:
            total.update(content_digest(one).encode())
        files.append(place.put("train", _table(rows)))
    digest = total.hexdigest()
    drops = sorted(selection.dropped)
    columns = {column: [getattr(one, column) for one in drops] for column in ("id", "filter", "reason")}
    manifest = {
        "format": _FORMAT,
        "snapshot": name,
        "digest": digest,
        "rows": len(selection.kept),
        "files": files,
        "dropped_file": place.put("dropped", part("pyarrow").table(columns)),
        "counts": selection.origins,
        "dropped": selection.counts,
        "code": version("sharpen"),
        "seed": plan.seed,
        "config": plan.settings.model_dump(mode="json"),
        "datasheet": dict(datasheet or {}),
        "held_out": hashlib.sha256(json.dumps(plan.held_out).encode()).hexdigest(),
    }
    if features is not None:
        told = part("pyarrow").table({"place": features.places} | features.columns)
        manifest["features"] = {"file": place.put("features", told), "costs": features.costs}
    there = place.manifest()
    if there is None:
        place.write(MANIFEST, json.dumps(manifest, sort_keys=True, indent=1).encode())
        return manifest
    if there["digest"] != digest:
        raise Refused(f"{place} holds another snapshot of that name.", "write elsewhere; snapshots never change")
    return there


def read_bundle(address: str, name: str) -> tuple[dict[str, Any], Any]:
    """Return a snapshot's manifest and its rows as one Arrow table, every file verified.

    Raises: ConfigError when it is not there; Refused when a file is missing or differs from its digest.
    """
    place = Place(address, name)
    manifest = place.manifest()
    if manifest is None:
        raise ConfigError(f"There is no snapshot in {place}.", "is it where [curation] snapshots says?")
    tables = [place.table(file) for file in manifest["files"]]
    pa = part("pyarrow")
    return manifest, pa.concat_tables(tables) if tables else pa.table(_columns([]))


def bundles(address: str) -> dict[str, int]:
    """Return the snapshots that are written at an address, and their bytes. Raises: StoreError."""
    files, root = part("fsspec").core.url_to_fs(address)
    try:
        folders = [one["name"] for one in files.ls(root, detail=True) if one["type"] == "directory"]
        return {folder.rstrip("/").rpartition("/")[2]: int(files.du(folder)) for folder in folders}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{address} cannot be listed: {error}", "check the place and its rights") from error


def delete_bundle(address: str, name: str) -> bool:
    """Delete a snapshot's files, whose words have to go. Returns whether there were any. Raises: StoreError."""
    return Place(address, name).delete()


def read_dropped(address: str, name: str) -> list[tuple[str, str, str]]:
    """Return a snapshot's drop list, verified: the Trace, the filter, and why."""
    place = Place(address, name)
    manifest = place.manifest()
    if manifest is None:
        raise ConfigError(f"There is no snapshot in {place}.", "is it where [curation] snapshots says?")
    columns = place.table(manifest["dropped_file"]).to_pydict()
    return list(zip(columns["id"], columns["filter"], columns["reason"], strict=True))


def read_features(address: str, name: str) -> Any:
    """Return a snapshot's features as one Arrow table, verified; None where none were measured."""
    place = Place(address, name)
    manifest = place.manifest() or {}
    return place.table(manifest["features"]["file"]) if "features" in manifest else None


def rows_of(table: Any) -> Iterator[dict[str, Any]]:
    """Yield a table's rows as a trainer takes them: messages, chosen, rejected, weight, reference."""
    for batch in table.select(["messages", "chosen", "rejected", "weight", "reference"]).to_batches():
        yield from batch.to_pylist()


class Place:
    """One snapshot's folder, on any file system that fsspec knows."""

    def __init__(self, address: str, name: str) -> None:
        self._files, root = part("fsspec").core.url_to_fs(address)
        self._root = f"{root.rstrip('/')}/{name}"
        self._told = f"{address.rstrip('/')}/{name}"

    def __str__(self) -> str:
        return self._told

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or None where there is none."""
        try:
            told: dict[str, Any] = json.loads(self._files.cat_file(f"{self._root}/{MANIFEST}"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Refused(f"The manifest in {self} cannot be read: {error}", "restore it from a copy") from error
        return told

    def put(self, stem: str, table: Any) -> dict[str, Any]:
        """Write a table to a file named by its bytes, unless it is there; return what the manifest says of it."""
        sink = io.BytesIO()
        part("pyarrow.parquet").write_table(table, sink, compression="zstd")
        content = sink.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        name = f"{stem}-{digest[:16]}.parquet"
        if not self._files.exists(f"{self._root}/{name}") or self._digest(name) != digest:
            self.write(name, content)
        return {"name": name, "sha256": digest, "rows": len(table), "bytes": len(content)}

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Raises: StoreError."""
        try:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/{name}", content)
        except OSError as error:
            raise StoreError(f"{self}/{name} cannot be written: {error}", "check the place and its rights") from error

    def delete(self) -> bool:
        """Delete the folder. Returns whether it was there. Raises: StoreError."""
        try:
            if not self._files.exists(self._root):
                return False
            self._files.rm(self._root, recursive=True)
        except OSError as error:
            raise StoreError(f"{self} cannot be deleted: {error}", "check the place and its rights") from error
        return True

    def table(self, file: dict[str, Any]) -> Any:
        """Read a file that the manifest names. Raises: Refused when its bytes are not those that were written."""
        try:
            content = self._files.cat_file(f"{self._root}/{file['name']}")
        except OSError as error:
            raise Refused(f"{self}/{file['name']} is missing: {error}", "restore it from a copy") from error
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise Refused(f"{self}/{file['name']} was changed since it was written.", "restore it from a copy")
        return part("pyarrow.parquet").read_table(io.BytesIO(content))

    def _digest(self, name: str) -> str:
        return hashlib.sha256(self._files.cat_file(f"{self._root}/{name}")).hexdigest()


def _table(rows: list[Candidate]) -> Any:
    return part("pyarrow").table(_columns(rows))


def _columns(rows: list[Candidate]) -> dict[str, Any]:
    pa = part("pyarrow")
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    kinds = {
        "messages": pa.list_(turn), "chosen": pa.string(), "rejected": pa.string(), "reference": pa.string(),
        "weight": pa.float64(), "margin": pa.float64(), "pass_rate": pa.float64(), "origin": pa.string(),
        "source": pa.string(), "version": pa.string(), "evidence": pa.list_(pa.string()),
    }  # fmt: skip
    told: dict[str, list[Any]] = {name: [getattr(one, name) for one in rows] for name in kinds.keys() - {"messages"}}
    told["messages"] = [[{"role": role, "content": content} for role, content in turns(one.prompt)] for one in rows]
    return {name: pa.array(told[name], type=kind) for name, kind in kinds.items()}
