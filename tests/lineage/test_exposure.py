"""Who said what a version learned, to the last row; and what a withdrawal reaches."""

from __future__ import annotations

from typing import Any

import pytest

from sharpen.errors import NotFound
from sharpen.lineage.exposure import NOBODY, exposure, reach
from sharpen.records import Example, Feedback, Message, ModelVersion, Snapshot, Source, Trace, TrainingRun
from sharpen.store import Store

ASKED = (Message(role="user", content="Where?"),)


def version(name: str, **fields: Any) -> ModelVersion:
    return ModelVersion(id=name, base="tiny", base_digest="b", template_digest="t", **fields)


def run(name: str, snapshot_id: str) -> TrainingRun:
    return TrainingRun(
        id=name,
        snapshot_id=snapshot_id,
        method="dpo",
        recipe={},
        seed=0,
        adapter_digest="a",
        seconds=1,
        model_seconds=1,
    )


def example(name: str, cycle: str, weight: float, *evidence: str) -> Example:
    return Example(
        id=name, cycle_id=cycle, messages=ASKED, chosen="x", origin="correction", evidence=evidence, weight=weight
    )


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """Two cycles: Ann and Bob are learned from in the first, Bob and nobody in the second, which goes on from it."""
    sqlite_store.append(
        Source(id="src_a", name="ann"),
        Source(id="src_b", name="bob"),
        Source(id="src_c", name="cy"),
        Trace(id="trc_1", messages=ASKED, reply="y", version_id="ver_0"),
        *(
            Feedback(id=f"fbk_{name}{at}", trace_id="trc_1", correction="x", source_id=f"src_{name}")
            for name in "abc"
            for at in range(2)
        ),
        example("exa_1", "c1", 3.0, "trc_1", "fbk_a0"),
        example("exa_2", "c1", 1.0, "trc_1", "fbk_a1", "fbk_b0"),
        example("exa_unused", "c1", 9.0, "trc_1", "fbk_c0"),
        example("exa_3", "c2", 1.0, "trc_1", "fbk_b1"),
        example("exa_4", "c2", 1.0, "trc_1"),
        Snapshot(id="snp_1", cycle_id="c1", example_ids=("exa_1", "exa_2"), counts={}, dropped={}),
        Snapshot(id="snp_2", cycle_id="c2", example_ids=("exa_3", "exa_4"), counts={}, dropped={}),
        run("run_1", "snp_1"),
        run("run_2", "snp_2"),
        version("ver_0"),
        version("ver_1", parent="ver_0", run_id="run_1"),
        version("ver_2", parent="ver_1", run_id="run_2"),
    )
    return sqlite_store


def test_shares_are_exact_and_sum_to_one(store: Store) -> None:
    assert exposure(store, "ver_1") == [("ann", 2, 0.875), ("bob", 1, 0.125)]
    assert exposure(store, "ver_2") == [("bob", 1, 0.5), (NOBODY, 1, 0.5)]
    assert exposure(store, "ver_0") == []


def test_a_withdrawal_reaches_what_was_trained_on_it_and_what_was_trained_on_from_that(store: Store) -> None:
    found = reach(store, "ann")
    assert found.examples == ("exa_1", "exa_2") and found.snapshots == ("snp_1",)
    assert found.versions == ("ver_1",) and found.descendants == ("ver_2",)
    assert reach(store, "src_b")[1:] == (
        ("exa_2", "exa_3"),
        ("snp_1", "snp_2"),
        ("run_1", "run_2"),
        ("ver_1", "ver_2"),
        (),
    )
    assert reach(store, "cy").examples == ("exa_unused",) and reach(store, "cy").versions == ()


def test_who_never_spoke_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="'dan'"):
        reach(store, "dan")
