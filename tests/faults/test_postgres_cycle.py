from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sharpen.records import Deployment, Score, Verdict
from sharpen.store import Store
from tests.faults import cycles

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_killed_cycle_goes_on_where_store_and_ledger_are_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    config = cycles.build(tmp_path, store_url=postgres_url)
    assert cycles.wait(cycles.start(config, "train.after_write")) == -signal.SIGKILL
    assert cycles.finish(config) == "promote"
    store = Store.open(postgres_url)
    assert (store.count(Deployment), store.count(Verdict)) == (2, 1)
    scores = store.find(Score)
    assert len(scores) == 100  # champion, challenger, base, first version and in-context arm on twenty cases, once
    assert len({(score.arm, score.case_id) for score in scores}) == 100
    store.close()
    assert not (config.with_name("state") / "ledger.db").exists()
