from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.config import load
from sharpen.records import Memory, Verdict
from sharpen.store import Store
from tests.faults import cycles

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_cycle_remembers_what_was_wrong_what_was_right_and_what_passed_the_gate(
    deployment: Path, tmp_path: Path
) -> None:
    config = cycles.copy(deployment, tmp_path / "d")
    assert cycles.finish(config) == "promote"
    store = Store.open(load(config).store_url)
    kept = {kind: [one for one in store.find(Memory) if one.type == kind] for kind in ("contrast", "score", "example")}
    assert {one.rejected for one in kept["contrast"]} == {"who knows"}
    assert {one.reply for one in kept["contrast"]} == {"yes"}
    assert {one.score for one in kept["score"] if one.reply == "who knows"} == {0.0}
    [verdict] = store.find(Verdict)
    assert kept["example"]
    assert all(verdict.id in one.evidence for one in kept["example"])
    measuring = {line for line in (config.parent / "suite.jsonl").read_text().splitlines() if '"gate"' in line}
    assert not any(one.messages[-1].content in line for one in store.find(Memory) for line in measuring)
    store.close()
