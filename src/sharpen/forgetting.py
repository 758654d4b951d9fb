"""Words leave the house: the store, memory's index, answers that were given with them in the prompt, training files.

In: a loop, and whose words. Out: how much went, and the versions that learned from it. Must not decide what becomes of
those versions: a person does.

The store comes first. Killed half way, the same call finds what is left, for records stay as tombstones.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sharpen.curation.bundle import delete_bundle
from sharpen.errors import StoreError
from sharpen.lineage.withdrawal import Withdrawn, erase, resting_on
from sharpen.loop import Loop
from sharpen.memory.search import Memories


class Forgotten(NamedTuple):
    """What went: records that had words, kept answers, files; and `found`, everything that rested on the words."""

    records: int
    answers: int
    files: int
    found: Withdrawn


def forget(
    loop: Loop, *, exchanges: Collection[str] = (), session: str | None = None, source: str | None = None
) -> Forgotten:
    """Erase exchanges, those of a session or what a source said, with everything that rests on them.

    Raises: NotFound when nothing of it is kept; Refused while a cycle runs; StoreError.
    """
    store, config = loop.store, loop.config
    with loop.alone():
        found = resting_on(store, exchanges=exchanges, session=session, source=source)
        records = erase(store, found)
        _forget_memories(loop, found.memories)
        answers = loop.cache.sweep(store)
        files = sum(_delete(loop, run_id) for run_id in found.made.runs)
        if config.curation.snapshots:
            files += sum(delete_bundle(config.curation.snapshots, name) for name in found.made.snapshots)
    return Forgotten(records, answers, files, found)


def _forget_memories(loop: Loop, ids: Collection[str]) -> None:
    if not ids:
        return
    memories = Memories.of(loop.config, loop.store)
    try:
        memories.forget(sorted(ids))
    finally:
        memories.close()


def _delete(loop: Loop, run_id: str) -> int:
    """Delete the rows that a run was trained on; the adapter that came of it stays, and is flagged."""
    rows = loop.config.home / "runs" / run_id / "rows.jsonl"
    if not rows.is_file():
        return 0
    try:
        rows.unlink()
    except OSError as error:
        raise StoreError(f"{rows} cannot be deleted: {error}", "check the folder's rights") from error
    return 1
