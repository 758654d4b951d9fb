"""Anyone can ask what became of an exchange, and what changed between two snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharpen.config import CurationSection
from sharpen.curation.explain import difference, explain
from sharpen.curation.plan import Plan
from sharpen.curation.selection import select
from sharpen.curation.snapshot import build_snapshot
from sharpen.errors import NotFound


def test_an_exchange_says_what_it_rests_on_or_what_dropped_it(talk: Any) -> None:
    kept, lost = talk.trace("my parcel"), talk.trace("write to ann@example.org")
    said = talk.correct(kept, "shipping", "src_ann")
    talk.correct(lost, "shipping")
    snapshot = build_snapshot(talk.store, CurationSection(min_examples=1), "c1", (), 0)
    assert snapshot is not None
    plan = Plan.of(CurationSection(min_examples=1), (), 0)
    found = select(talk.store, plan)
    for name in (kept, said, snapshot.example_ids[0]):
        told = "\n".join(explain(talk.store, name, found, plan))
        assert "learned: number 1 of 1, correction, margin 1.00" in told
        assert f"rests on {kept}, {said}" in told
        assert "said by src_ann" in told
        assert '{"min_examples": 1}' in told
    assert "mined in c1" in "\n".join(explain(talk.store, snapshot.example_ids[0], found, plan))
    assert explain(talk.store, lost, found, plan)[0] == f"dropped by personal: email ({lost})"
    with pytest.raises(NotFound, match="evidence of nothing"):
        explain(talk.store, "trc_0", found, plan)


def test_two_snapshots_differ_by_their_rows_and_settings(talk: Any, tmp_path: Path) -> None:
    talk.corrected(["my parcel", "a refund"], ["shipping", "returns"])
    settings = CurationSection(min_examples=1, snapshots=str(tmp_path))
    one = build_snapshot(talk.store, settings, "c1", (), 0)
    talk.corrected(["an invoice", "ann@example.org"], ["billing", "sales"])
    two = build_snapshot(talk.store, settings.model_copy(update={"near_duplicate": 0.9}), "c2", (), 0)
    assert one and two
    found = difference(str(tmp_path), one.id, two.id)
    assert found["rows"] == [2, 3]
    assert (len(found["only"][0]), len(found["only"][1])) == (0, 1)
    assert "billing" in found["only"][1][0]
    assert found["settings"] == {"near_duplicate": [0.85, 0.9]}
    assert found["dropped"] == [{}, {"personal": 1}]
    assert difference(str(tmp_path), one.id, one.id)["only"] == [[], []]
