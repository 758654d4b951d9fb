"""From the store's evidence to what is learned, in this process or on a cluster: the same functions, the same result.

In: a store and a plan. Out: candidates, which of them stay in which order, and what was dropped. Must not know records
of training, or how a snapshot is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sharpen.curation.candidate import Candidate, level, place_in_training
from sharpen.curation.choose import Embedding, by_strength, choose
from sharpen.curation.execution import LOCAL, run_all
from sharpen.curation.filters.duplicates import Keys
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.plan import Plan
from sharpen.curation.shards import export, gather, tasks_of
from sharpen.curation.sift import Dropped, sift
from sharpen.errors import ConfigError
from sharpen.store import Store

SIFT = "sharpen.curation.shards:sift_task"


class Selection(NamedTuple):
    """What is learned: positions in `rows`, in training order; and everything that is not, with reasons."""

    rows: Sequence[Candidate]
    kept: list[int]
    dropped: list[Dropped]

    @property
    def counts(self) -> dict[str, int]:
        """How much each filter dropped."""
        return dict(Counter(one.filter for one in self.dropped))

    @property
    def origins(self) -> dict[str, int]:
        """How much of each kind of evidence stays."""
        return dict(Counter(self.rows[place].origin for place in self.kept))


def select(store: Store, plan: Plan, *, embedding: Embedding | None = None, folder: Path | None = None) -> Selection:
    """Curate what the store holds. Raises: ConfigError, BoundaryError when the engine fails, MissingExtra."""
    if plan.settings.engine == LOCAL and not plan.settings.shards:
        return _here(store, plan, embedding)
    if folder is None:
        raise ConfigError("[curation] engine and shards need a folder for their parts.", "engine = 'local', shards = 0")
    return sharded(store, plan, folder, embedding)


def sharded(store: Store, plan: Plan, folder: Path, embedding: Embedding | None = None) -> Selection:
    """Curate in parts that lie in `folder`; parts that an earlier, killed run finished are not done again."""
    shards = export(store, folder, plan)
    run_all(SIFT, tasks_of(folder, shards, plan), plan.settings.engine)
    sifted = gather(folder, shards, plan)
    chosen = choose(sifted.rows, sifted.keys, by_strength(sifted.origins, sifted.places), plan, embedding)
    kept = sorted(chosen.kept, key=lambda place: (sifted.levels[place], sifted.drawn[place], sifted.places[place]))
    return Selection(sifted.rows, kept, [*sifted.dropped, *chosen.dropped])


def _here(store: Store, plan: Plan, embedding: Embedding | None) -> Selection:
    sifted = sift(evidence(store), plan)
    rows, settings = sifted.kept, plan.settings
    order = by_strength([one.origin for one in rows], [one.place for one in rows])
    chosen = choose(rows, Keys.of(rows), order, plan, embedding)
    key = {
        place: (level(rows[place], settings.order), place_in_training(rows[place], plan.seed), rows[place].place)
        for place in chosen.kept
    }
    return Selection(rows, sorted(chosen.kept, key=key.__getitem__), [*sifted.dropped, *chosen.dropped])
