from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.trainer_utils import SaveStrategy

from sharpen.config import FairnessSection
from sharpen.training.constraints.duals import UNTRAINED, Duals
from sharpen.training.constraints.plan import make_plan
from sharpen.training.job import Recipe

HELD = {"twins": True, "groups": True, "min_group": 1, "space": "policy", "gap": 0.0, "group_rate": 0.5}


def saving(trainer: Any) -> Any:
    trainer.args.save_strategy, trainer.args.save_steps = SaveStrategy.STEPS, 3
    trainer.args.max_steps = 6
    return trainer


def test_a_run_that_goes_on_continues_the_duals_and_ends_with_the_same_weights(make: Any, rows: Any) -> None:
    whole = saving(make(rows, fairness=HELD))
    whole.train()
    ended = whole.duals.state()["attributes"]
    kept = json.loads((Path(whole.args.output_dir) / "checkpoint-3" / "trainer_state.json").read_text())
    halfway = kept["stateful_callbacks"]["Duals"]["attributes"]
    assert halfway["gap"] > 0 and halfway["multiplier"] != 0.5 and halfway["shares"] != [0.5, 0.5]
    assert halfway != ended

    again = saving(make(rows, fairness=HELD))
    again.train(resume_from_checkpoint=str(Path(again.args.output_dir) / "checkpoint-3"))
    assert again.duals.state()["attributes"] == ended
    for (name, mine), (_, other) in zip(again.model.named_parameters(), whole.model.named_parameters(), strict=True):
        assert np.array_equal(mine.detach().numpy(), other.detach().numpy()), name


def test_transformers_may_make_the_callback_again_from_its_state(make: Any, rows: Any) -> None:
    trainer = saving(make(rows, fairness=HELD))
    trainer.train()
    ended = trainer.duals.state()["attributes"]
    again = saving(make(rows, fairness=HELD))
    again.args.restore_callback_states_from_checkpoint = True
    again.train(resume_from_checkpoint=str(Path(again.args.output_dir) / "checkpoint-3"))
    assert again.duals.state()["attributes"] == ended


def duals(**fairness: Any) -> Duals:
    rows = [
        {"messages": [{"role": "user", "content": str(at)}], "chosen": "y", "rejected": "n", "group": "ab"[at % 2],
         "twin": f"t{at // 2}"}
        for at in range(8)
    ]  # fmt: skip
    recipe = Recipe(
        method="dpo", epochs=1, rank=1, alpha=2, learning_rate=1e-3, batch=4, max_length=64, beta=0.1, seed=0,
        threads=1, fairness=FairnessSection.model_validate({"groups": True, "twins": True, "min_group": 1} | fairness),
    )  # fmt: skip
    return Duals.of(make_plan(rows, recipe), UNTRAINED)


def test_duals_move_once_per_step_however_many_micro_batches_it_has() -> None:
    one, many = duals(), duals()
    one.observe(np.array([4.0, 2.0, 4.0, 4.0, 3.0, 2.0]))
    for _ in range(2):
        many.observe(np.array([2.0, 1.0, 2.0, 2.0, 1.5, 1.0]))
    one.update()
    many.update()
    assert one.state() == many.state()
    assert one.losses == [1.0, 0.5] and one.gap == 1.5
    before = one.state()["attributes"]
    one.update()  # nothing was seen since
    assert one.state()["attributes"] == before


def test_a_group_that_a_reference_run_could_not_learn_either_gains_nothing() -> None:
    hard, fair = duals(group_rate=0.5), duals(group_rate=0.5, reference_loss={"a": 1.2, "b": UNTRAINED})
    for one in (hard, fair):
        one.observe(np.array([4.8, UNTRAINED * 4, 4.0, 4.0, 0.0, 0.0]))
        one.update()
    assert hard.shares[0] > 0.53
    assert fair.shares == pytest.approx([0.5, 0.5])


def test_the_figures_of_groups_below_twenty_rows_are_not_told() -> None:
    told = duals()
    told.observe(np.array([4.8, 2.0, 4.0, 4.0, 1.0, 1.0]))
    told.update()
    assert {"group_weight/a", "group_loss/b", "twin_gap", "twin_gap_weight"} <= told.told().keys()
    assert not [name for name in told.told(np.array([19, 20])) if name.endswith("/a")]
    assert [name for name in told.told(np.array([19, 20])) if name.endswith("/b")]
