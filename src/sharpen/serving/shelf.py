"""Which versions are loaded beside each other on one engine.

In: version ids. Out: loaded adapters, each checked to belong to the engine's base. Must not know who is asked for them.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from sharpen.errors import EngineError, NotFound
from sharpen.models.engine import Engine
from sharpen.records import ModelVersion
from sharpen.store import Store


class Shelf:
    """The versions of one engine. Only the engine's own thread calls `load` and `keep`."""

    def __init__(self, engine: Engine, store: Store, adapters: Path) -> None:
        self._engine = engine
        self._store = store
        self._adapters = adapters
        self._known: dict[str, ModelVersion] = {}
        self.loaded: frozenset[str] = frozenset()

    def describe(self, version_id: str) -> ModelVersion:
        """Return a version's record, from the store the first time. Raises: NotFound, StoreError."""
        if not version_id.isprintable():
            raise NotFound("A version's name is printable.", "sharpen show  lists the versions")
        if version_id not in self._known:
            self._known[version_id] = self._store.get(ModelVersion, version_id)
        return self._known[version_id]

    def load(self, version_id: str) -> None:
        """Make a version answerable. Raises: EngineError when it belongs to another base; NotFound, StoreError."""
        if version_id in self._engine.versions:
            return
        version = self.describe(version_id)
        for part in ("base_digest", "template_digest"):
            if getattr(version, part) != getattr(self._engine, part):
                raise EngineError(
                    f"Version '{version_id}' was made for another base: its {part} is {getattr(version, part)}, "
                    f"the loaded one's is {getattr(self._engine, part)}.",
                    f"set `base` to '{version.base}' as it was, or begin a new home with `sharpen init`",
                )
        self._engine.load(version_id, self._adapters / version.adapter_digest if version.adapter_digest else None)
        self.loaded = self._engine.versions

    def keep(self, needed: Set[str]) -> None:
        """Unload every version but these."""
        for version_id in self._engine.versions - needed:
            self._engine.unload(version_id)
        self.loaded = self._engine.versions
