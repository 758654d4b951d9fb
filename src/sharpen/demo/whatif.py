"""The demo's counter-examples: a candidate trained on shuffled labels, and a run without corrections.

In: the loop after its cycle. Out: the gate's decision on the negative control, and a version that learned from its own
verified answers alone. Must not change the loop's own store: both work on a copy of it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sharpen.critique.flow import critique
from sharpen.curation.snapshot import build_snapshot
from sharpen.evaluation.arms import CHALLENGER, Arm
from sharpen.loop import Loop
from sharpen.records import Example, ModelVersion, Score, Snapshot, Verdict


def copy_of(loop: Loop, name: str, **sections: object) -> Loop:
    """Return a loop over a copy of the store, with other settings, on the same model."""
    home = loop.config.home / name
    home.mkdir(parents=True, exist_ok=True)
    source = loop.config.store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(home / "store.db")) as there:
        here.backup(there)
    changed = loop.config.model_copy(update={"home": home, **sections})
    return Loop(changed, lambda what, done, total: loop.on_progress(f"{name}: {what}", done, total), loop.model)


def negative_control(loop: Loop, verdict: Verdict) -> Verdict:
    """Train on the same examples with their labels shuffled, and put the result before the same gate.

    It meets the same champion, the same in-context arm and the same cases; only the candidate's scores are new.
    """
    copy = copy_of(loop, "control")
    held_out, settings, seed = copy.held_out(), copy.config.mining, copy.config.seed
    snapshot = build_snapshot(copy.store, settings, verdict.cycle_id, held_out, seed, shuffled_labels=True)
    if snapshot is None:
        raise AssertionError("the cycle had enough examples; shuffling does not take any away")
    champion = copy.store.get(ModelVersion, verdict.champion_id)
    _, version = copy.train_on(snapshot, parent_id=champion.id)
    scores = [one for one in copy.store.find(Score) if one.tier == "gate" and one.arm != CHALLENGER]
    for suite in (copy.target, *copy.guards):
        scores += copy.score(suite, "gate", Arm(CHALLENGER, version.id), "evl_control")
    return copy.judge(
        scores,
        cycle_id=f"{verdict.cycle_id}-control",
        champion_id=champion.id,
        challenger_id=version.id,
        attempt=verdict.attempt,
    )


def without_corrections(loop: Loop) -> tuple[ModelVersion | None, dict[str, int], Loop]:
    """Learn from the model's own answers alone: nobody tells it a label, a verifier says only right or wrong.

    Returns the version (None when too little was found), the examples per origin, and the loop that holds them.
    """
    settings = loop.config.curation.model_copy(update={"corrections": False})
    # One round: nobody gave it examples at first, so a second search of the same memory finds little more.
    search = loop.config.critique.model_copy(update={"rounds": 1})
    copy = copy_of(loop, "own-answers", curation=settings, critique=search)
    cycle_id, champion = "own-answers", copy.base_version
    copy.ready(champion.id)
    critique(
        copy.config,
        copy.store,
        copy.engine,
        copy.target,
        cycle_id=cycle_id,
        version_id=champion.id,
        on_progress=copy.report("critique"),
    )
    snapshot = build_snapshot(copy.store, settings, cycle_id, copy.held_out(), copy.config.seed)
    if snapshot is None:
        return None, {}, copy
    _, version = copy.train_on(snapshot, parent_id=champion.id)
    return version, snapshot.counts, copy


def examples_of(loop: Loop, snapshot_id: str) -> list[Example]:
    """Return the examples of a snapshot, in training order."""
    snapshot = loop.store.get(Snapshot, snapshot_id)
    by_id = {example.id: example for example in loop.store.find(Example, ids=snapshot.example_ids)}
    return [by_id[example_id] for example_id in snapshot.example_ids]
