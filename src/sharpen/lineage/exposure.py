"""What each source has a share in: exact bookkeeping of weights, and everything that rests on a source.

In: the store. Out: shares of a version's training by source, and what a source reached. Must not guess at influence.

Exposure is not influence: it says how much of what was learned a source said, not what that did to the answers. It is
exact, and it is the baseline that any estimate of influence has to beat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from sharpen.errors import NotFound
from sharpen.lineage.provenance import resolve
from sharpen.records import Example, Feedback, ModelVersion, Snapshot, Source, TrainingRun
from sharpen.store import Store

NOBODY = "nobody named"  # examples that rest on no feedback, or on that of somebody without a name


class Exposure(NamedTuple):
    """One source's part in one version's own training."""

    source: str
    rows: int
    share: float  # of the weight of all rows


class Reach(NamedTuple):
    """Everything that rests on a source."""

    source: str
    examples: tuple[str, ...]
    snapshots: tuple[str, ...]
    runs: tuple[str, ...]
    versions: tuple[str, ...]  # trained on it themselves
    descendants: tuple[str, ...]  # trained on from one of those


def exposure(store: Store, version: str = "champion") -> list[Exposure]:
    """Return who said what a version was trained on, the largest share first; none for the bare base.

    An example that rests on several sources is divided evenly among them, so that shares sum to 1. What the version's
    parents learned is theirs. Raises: NotFound.
    """
    model = store.get(ModelVersion, resolve(store, version))
    if model.run_id is None:
        return []
    snapshot = store.get(Snapshot, store.get(TrainingRun, model.run_id).snapshot_id)
    mass: defaultdict[str, float] = defaultdict(float)
    rows: defaultdict[str, int] = defaultdict(int)
    spoken = _spoken(store)
    inside = set(snapshot.example_ids)
    for example in store.find(Example, subjects=[snapshot.cycle_id]):
        if example.id not in inside:
            continue
        sources = sorted({spoken[one] for one in example.evidence if one in spoken}) or [NOBODY]
        for source in sources:
            mass[source] += example.weight / len(sources)
            rows[source] += 1
    total = sum(mass.values())
    found = [Exposure(source, rows[source], mass[source] / total) for source in mass]
    return sorted(found, key=lambda one: (-one.share, one.source))


def reach(store: Store, source: str) -> Reach:
    """Return everything that rests on a source, by its name or id, for whoever withdraws.

    Raises: NotFound when nobody of that name ever said anything.
    """
    said = {feedback for feedback, name in _spoken(store).items() if name == source}
    ids = {one.id for one in store.find(Source) if source in (one.id, one.name)}
    said |= {one.id for one in store.find(Feedback) if one.source_id is not None and one.source_id in ids}
    if not said:
        raise NotFound(f"No source '{source}' ever said anything.", "sharpen why champion  shows who did")
    examples = {one.id for one in store.find(Example) if said & set(one.evidence)}
    return Reach(source, tuple(sorted(examples)), *descent(store, examples))


class Descent(NamedTuple):
    """What was made of examples: training sets, runs, versions trained on them, and versions trained on from those."""

    snapshots: tuple[str, ...]
    runs: tuple[str, ...]
    versions: tuple[str, ...]
    descendants: tuple[str, ...]


def descent(store: Store, examples: Collection[str]) -> Descent:
    """Return what was made of these examples, each part in the order of its ids."""
    wanted = set(examples)
    snapshots = {one.id for one in store.find(Snapshot) if wanted & set(one.example_ids)}
    runs = {one.id for one in store.find(TrainingRun) if one.snapshot_id in snapshots}
    every = store.find(ModelVersion)
    own = {one.id for one in every if one.run_id in runs}
    below: set[str] = set()
    while fresh := {one.id for one in every if one.parent in own | below} - own - below:
        below |= fresh
    return Descent(*(tuple(sorted(part)) for part in (snapshots, runs, own, below)))


def _spoken(store: Store) -> dict[str, str]:
    """Return the source's name per Feedback that somebody bears."""
    names = {one.id: one.name for one in store.find(Source)}
    return {
        one.id: names.get(one.source_id, one.source_id) for one in store.find(Feedback) if one.source_id is not None
    }
