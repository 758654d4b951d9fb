from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trl
from tests.training.constraints.test_plan import recipe, row

from sharpen.errors import TrainerError
from sharpen.training.constraints import trainer as constrained
from sharpen.training.constraints.plan import make_plan
from sharpen.training.constraints.resampling import Drawn, consensus, systematic
from sharpen.training.constraints.trainer import signature_problem

GROUPS = {"groups": True, "min_group": 1}


def test_trl_as_it_is_installed_has_what_the_constrained_trainers_override() -> None:
    assert signature_problem(trl.DPOTrainer) == ""
    assert signature_problem(trl.KTOTrainer, {"_compute_kl_logps": ["model", "batch"]}) == ""


def test_a_renamed_or_changed_private_method_is_noticed() -> None:
    class Later(trl.DPOTrainer):
        def _compute_loss(self, model: Any, batch: Any) -> Any: ...

    class Gone:
        pass

    assert "takes ['model', 'batch']" in signature_problem(Later)
    assert "has no _compute_loss" in signature_problem(Gone)


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_when_trls_inside_changes_the_run_goes_on_by_resampling_and_says_so(
    method: str, make: Any, rows: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(constrained.SEALED, "_compute_loss", ["model", "inputs", "something_new"])
    trainer = make(rows, method, GROUPS, epochs=2)
    assert type(trainer) in (trl.DPOTrainer, trl.KTOTrainer)
    before = trainer.callback_handler.callbacks
    trainer.train()
    told = trainer.constraint_metrics()
    assert told["constraints_by_resampling"] == 1.0
    assert "something_new" in capsys.readouterr().err
    duals = next(one for one in before if type(one).__name__ == "Duals")
    assert all(loss is not None and np.isfinite(loss) for loss in duals.losses)
    assert duals.shares != duals.target.tolist()  # they moved between the epochs


def test_when_trls_formula_changes_behind_the_same_names_it_is_noticed_too(
    make: Any, rows: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = trl.DPOTrainer._compute_loss

    def changed(self: Any, model: Any, inputs: Any, return_outputs: Any) -> Any:
        return original(self, model, inputs, return_outputs) * 1.01

    monkeypatch.setattr(trl.DPOTrainer, "_compute_loss", changed)
    assert make(rows, "dpo", GROUPS).constraint_metrics()["constraints_by_resampling"] == 1.0
    assert "our loss is" in capsys.readouterr().err
    with pytest.raises(TrainerError, match="cannot act in the loss: unconstrained, our loss is"):
        make(rows, "dpo", GROUPS | {"by": "loss"})


def test_every_row_is_drawn_as_often_as_its_weight_says_rounded() -> None:
    weight_N = np.array([0.5, 1.0, 2.25, 0.0, 1.25])
    counts = np.bincount(systematic(weight_N, seed=4), minlength=5)
    assert counts.sum() == 5
    assert (np.abs(counts - weight_N) < 1).all() and counts[3] == 0
    many = sum(np.bincount(systematic(weight_N, seed), minlength=5) for seed in range(400)) / 400
    assert many == pytest.approx(weight_N, abs=0.1)


def test_equal_weights_draw_every_row_once() -> None:
    assert sorted(systematic(np.ones(50), 1).tolist()) == list(range(50))


def test_a_drawn_data_set_shows_the_rows_of_its_order() -> None:
    data = Drawn(["a", "b", "c"])
    data.order = np.array([2, 2, 0])
    assert [data[at] for at in range(len(data))] == ["c", "c", "a"]


def test_twins_take_the_side_with_the_greater_weight_or_are_left_out() -> None:
    rows = [
        row("a", twin="s"), row("b", twin="s"), row("c", twin="s", chosen="no", rejected="yes"),
        row("d", twin="t"), row("e", twin="t", chosen="no", rejected="yes"),
        row("f"),
    ]  # fmt: skip
    items, counts = consensus(make_plan(rows, recipe(twins=True)))
    assert {item["messages"][0]["content"]: item["chosen"] for item in items} == {
        "a": "yes", "b": "yes", "c": "yes", "f": "yes"
    }  # fmt: skip
    assert counts == {"twins_turned": 1.0, "twins_left_out": 2.0}


def test_rated_twins_agree_answer_by_answer() -> None:
    rows = [row("a", twin="s"), row("b", twin="s"), row("c", twin="s", chosen="no", rejected="yes")]
    items, counts = consensus(make_plan(rows, recipe("kto", twins=True)))
    assert {(item["answer"], item["label"]) for item in items} == {("yes", True), ("no", False)}
    assert (len(items), counts["twins_turned"]) == (6, 2.0)
