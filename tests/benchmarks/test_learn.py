from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sharpen.benchmarks import learn
from sharpen.benchmarks.learn import arms, tasks
from sharpen.benchmarks.learn.budget import limit
from sharpen.errors import ConfigError
from sharpen.records import Message
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite


def case(text: str, reference: str = "billing", tier: Any = "train") -> Any:
    return make_case([Message(role="user", content=text)], reference, tier=tier)


def test_a_right_answer_is_liked_and_a_wrong_one_corrected() -> None:
    cases = [case("a"), case("b"), case("c")]
    rows = tasks.rows_of(Suite("s", tuple(cases)), cases, ["billing", "sales", ""])
    assert [(row["chosen"], row["rejected"]) for row in rows] == [
        ("billing", None), ("billing", "sales"), ("billing", None)
    ]  # fmt: skip


def test_the_inbox_is_the_demos_own() -> None:
    from sharpen.demo import inbox

    assert (tasks.TEAMS, tasks.SYSTEM) == (inbox.TEAMS, inbox.SYSTEM)
    assert len(tasks.inbox().cases) == 600


def small(tmp_path: Path, base: Path, budget_s: float = 1.0) -> tuple[arms.Bench, tasks.Task]:
    train = [case(f"my bill {n} is wrong") for n in range(6)]
    suite = Suite("small", (*train, *(case(f"the bill {n} is wrong", tier="vault") for n in range(3))))
    rows = tasks.rows_of(suite, train, ["perhaps"] * 6)
    return arms.Bench(base, "d" * 16, tmp_path, budget_s, 3, "vault"), tasks.Task("small", suite, tuple(rows), 12)


def test_a_row_is_measured_once_and_then_kept(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, task = small(tmp_path, tiny_base)
    rows = list(learn.compare(bench, [task], ["sft"], 1))
    assert [row["arm"] for row in rows] == ["base", "in_context", "sft", "auto", "plain_sft"]
    assert all({"task", "arm", "seed", "score", "low", "high", "seconds"} <= {*row} for row in rows)
    base, trained = rows[0], rows[2]
    assert base["seconds"] == 0 and base["score"] == 0.0
    assert 1.0 <= trained["seconds"] < 20.0 and trained["steps"] > 0
    monkeypatch.setattr(arms, "train", lambda *_: pytest.fail("it was trained again"))
    assert list(learn.compare(bench, [task], ["sft"], 1)) == rows
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "small").iterdir()) == [
        "base", "in_context", "plain_sft", "sft"
    ]  # fmt: skip
    promised = learn.promise("small", rows)
    assert promised["best_plain"] == "plain_sft" and promised["auto"] == trained["score"]


def test_the_promise_is_broken_where_auto_is_clearly_worse() -> None:
    def row(arm: str, seed: int, values: list[float]) -> dict[str, Any]:
        return {"arm": arm, "seed": seed, "values": values}

    rows = [row("auto", 0, [1, 0, 0, 0]), row("auto", 1, [1, 0, 0, 1]), row("plain_sft", 0, [1, 1, 1, 1])]
    found = learn.promise("t", [*rows, row("plain_dpo", 0, [0, 0, 0, 0])])
    assert (found["auto"], found["best_plain"], found["difference"]["value"]) == (0.375, "plain_sft", -0.625)
    assert found["over_median_plain"] == -0.125 and found["kept"] is False
    assert learn.promise("t", rows[:2])["kept"] is None


def test_the_rate_falls_to_nothing_over_the_budget_and_then_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    now = [100.0]
    monkeypatch.setattr("time.process_time", lambda: now[0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    called: list[Any] = []
    trainer = SimpleNamespace(optimizer=optimizer, add_callback=called.append)
    schedule = limit(trainer, 10.0, 100.0, 0.1).create_scheduler(999)
    rates, control = [], SimpleNamespace(should_training_stop=False)
    for now[0] in (100.5, 101.0, 105.5, 110.0):
        optimizer.step()
        schedule.step()
        called[0].on_step_end(None, None, control)
        rates.append((round(optimizer.param_groups[0]["lr"], 3), control.should_training_stop))
    assert rates == [(0.5, False), (1.0, False), (0.5, False), (0.0, True)]


def test_on_policy_methods_are_compared_on_one_task_and_ppo_has_no_plain_script() -> None:
    assert learn.arms_of("inbox", ["sft", "ppo"]) == ["sft", "plain_sft"]
    assert learn.arms_of("gym", ["sft", "ppo", "grpo"]) == ["sft", "ppo", "grpo", "plain_sft", "plain_grpo"]


def test_an_unknown_method_is_told() -> None:
    with pytest.raises(ConfigError, match="no method or task 'stf'"):
        learn.measure(methods=["stf"])


@pytest.mark.parametrize("method", learn.plain.METHODS)
def test_every_plain_script_runs(method: str, tiny_base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, task = small(tmp_path, tiny_base)
    rated = (*task.rows, *({**row, "rejected": None} for row in task.rows[:2]))
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    trainer = learn.plain.build(
        method, model, tokenizer, tasks.Task("small", task.suite, rated, 4), scratch=str(tmp_path / "out"), seed=0
    )
    trainer.args.max_steps = 1
    assert trainer.train().global_step == 1
    assert json.dumps(trainer.state.log_history[-1])
