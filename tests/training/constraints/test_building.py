"""A configuration line really trains with the constraint, in the child."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharpen.benchmarks.constraints import cases, rated
from sharpen.config import parse
from sharpen.errors import Refused
from sharpen.models.weights import digest
from sharpen.records import ModelVersion, Snapshot
from sharpen.store import Store
from sharpen.training import child, launch
from sharpen.training.job import resolve


@pytest.fixture
def run(thin_base: Path, tmp_path: Path) -> Any:
    def start(rows: list[dict[str, Any]], method: str, **fairness: Any) -> Any:
        training = {"method": method, "epochs": 2.0, "learning_rate": 0.003, "batch": 8, "rank": 4, "attempts": 1}
        config = parse({"home": str(tmp_path), "models": {"threads": 1}, "training": training, "fairness": fairness})
        store = Store.open(config.store_url)
        base = ModelVersion(id="ver_0", base="thin", base_digest=digest(thin_base), template_digest="t" * 16)
        snapshot = Snapshot(id="snp_1", cycle_id="c1", example_ids=(), counts={}, dropped={})
        try:
            return launch.train(config, store, snapshot, rows, base=thin_base, parent=base, seed=0)
        finally:
            store.close()

    return start


def test_a_line_of_configuration_trains_under_the_constraint_and_the_run_says_what_was_held(run: Any) -> None:
    rows = rated(cases(40, 0)[0], 0)
    found, version = run(rows, "dpo", twins=True, groups=True, min_group=20, space="policy")
    assert found.adapter_digest == version.adapter_digest
    assert found.recipe["fairness"]["twins"] is True
    told = found.metrics
    assert told["constraints_by_resampling"] == 0.0
    assert told["twin_sets"] == 40.0 and told["twin_conflict_share"] > 0.2
    assert told["twin_gap"] > 0 and 0 < told["group_weight/A"] < 1
    assert told["group_weight/A"] + told["group_weight/B"] == pytest.approx(1)


def test_what_has_nothing_to_hold_on_to_is_refused_before_a_child_starts(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_child(*_: Any, **__: Any) -> Any:
        raise AssertionError("a child was started")

    monkeypatch.setattr(child.subprocess, "Popen", no_child)
    rows = rated(cases(8, 0)[0], 0)
    with pytest.raises(Refused, match="nothing to compare"):
        run([row | {"twin": None} for row in rows], "dpo", twins=True)
    with pytest.raises(Refused, match="no constrained form of method 'sft'"):
        run(rows, "sft", twins=True)


def test_without_constraints_the_recipe_has_none_and_the_method_builds_its_own_trainer() -> None:
    assert resolve(parse({}), "dpo", 10, 0).fairness is None
    assert resolve(parse({"fairness": {"cap": 2.0}}), "dpo", 10, 0).fairness is None  # a number alone holds nothing
    assert resolve(parse({"fairness": {"principles": ["*"]}}), "dpo", 10, 0).fairness is not None
