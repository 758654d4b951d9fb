"""What `sharpen outside` does: ask, keep, tell; and go on where one evaluator cannot be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.errors import MissingExtra, NotFound
from sharpen.evaluation.opinions import ask
from sharpen.models.chat import EngineChatModel
from sharpen.records import Message, ModelVersion, Score, Verdict, content_hash
from sharpen.store import Store
from sharpen.testing import ScriptedEngine
from sharpen.tracking.mirrors import tell
from sharpen.verify.cases import make_case
from sharpen.verify.judge import Judge
from sharpen.verify.suites import Suite

CASES = tuple(make_case([Message(role="user", content=f"question {n}")], f"a {n}", tier="gate") for n in range(2))
SUITE = Suite("inbox", CASES)
VERDICT = Verdict(
    id="vdt_1", cycle_id="cycle-0001", champion_id="ver_0", challenger_id="ver_1", decision="hold", reason="Too few.",
    comparisons=(), alpha_spent=0.0, attempt=1,
)  # fmt: skip
EVALUATION = f"evl_{content_hash(('cycle-0001', 'ver_1', 'gate'))}"


def evaluated(store: Store) -> None:
    """Write what a cycle leaves behind: a Verdict, and the Scores it rests on."""
    store.append(VERDICT)
    for arm, version_id in (("champion", "ver_0"), ("challenger", "ver_1"), ("base", "ver_0")):
        store.append(*(
            Score(
                id=f"scr_{arm}_{case.id}", evaluation_id=EVALUATION, arm=arm, version_id=version_id, suite="inbox",
                tier="gate", scorer="exact", case_id=case.id, cluster=case.cluster, value=0.0, reply="hm",
            )
            for case in CASES
        ))  # fmt: skip


def judge() -> Judge:
    asked = ScriptedEngine(lambda *_: json.dumps({"reason": "r", "value": "good"}), max_context_tokens=100_000)
    asked.load("ver_j", None)
    return Judge(EngineChatModel(engine=asked, version_id="ver_j"), "scripted", at_once=1)


def settings(home: Path, *outside: str) -> Config:
    return parse({"home": str(home), "evaluation": {"outside": list(outside)}, "tracking": {"mlflow": False}})


def test_each_arm_is_asked_about_once_and_the_scores_are_kept_apart(sqlite_store: Store, tmp_path: Path) -> None:
    evaluated(sqlite_store)
    before = sqlite_store.find(Score, subjects=[EVALUATION])
    said = ask(settings(tmp_path, "ragas"), sqlite_store, SUITE, judge)
    assert said.failed == {} and said.verdict == VERDICT
    assert {one.arm for one in said.own} == {one.arm for one in said.outside} == {"champion", "challenger"}
    assert {one.value for one in said.outside if one.scorer == "ragas:helpfulness"} == {1.0}
    assert len(said.outside) == 2 * 2 * 7
    assert sqlite_store.find(Score, subjects=[EVALUATION]) == before  # the gate sees none of them

    def nobody() -> Judge:
        raise AssertionError("it was asked again")

    again = ask(settings(tmp_path, "ragas"), sqlite_store, SUITE, nobody)
    assert {one.id for one in again.outside} == {one.id for one in said.outside}
    assert sqlite_store.count(Score) == len(before) + len(said.outside)


def test_an_evaluator_that_cannot_be_had_does_not_stop_the_others(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    evaluated(sqlite_store)
    said = ask(settings(tmp_path, "promptfoo", "deepchecks", "ragas"), sqlite_store, SUITE, judge)
    assert said.failed.keys() == {"promptfoo", "deepchecks"}
    assert all(isinstance(error, MissingExtra) for error in said.failed.values())
    assert {one.scorer.partition(":")[0] for one in said.outside} == {"ragas"}


def test_before_the_first_evaluation_it_says_what_to_type(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="sharpen cycle"):
        ask(settings(tmp_path, "ragas"), sqlite_store, SUITE, judge)


def test_a_tool_that_cannot_be_told_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANGSMITH_API_KEY", raising=False)
    tracking: dict[str, Any] = {"mlflow": True, "langsmith": "http://127.0.0.1:1"}
    config = parse({"home": str(tmp_path), "tracking": tracking})
    version = ModelVersion(id="ver_1", base="b", base_digest="d", template_digest="t")
    score = Score(
        id="scr_1", evaluation_id="evl_1", arm="champion", version_id="ver_0", suite="inbox", tier="gate",
        scorer="exact", case_id=CASES[0].id, cluster="c", value=1.0,
    )  # fmt: skip
    assert tell(config, CASES, [score], version, run=None, means={}) == []
    assert [message.partition(" was")[0] for message in caplog.messages] == ["MLflow", "LangSmith"]


def test_the_command_asks_with_the_models_own_judge_and_tells_mlflow(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from sharpen.cli import app
    from sharpen.tracking.mlflow import MlflowMirror

    monkeypatch.chdir(tmp_path)
    Path("inbox.jsonl").write_text(
        "".join(json.dumps({"prompt": f"question {n}", "reference": f"a {n}", "tier": "gate"}) + "\n" for n in range(2))
    )
    Path("sharpen.toml").write_text(
        f'base = "{tiny_base}"\nhome = "home"\n[evaluation]\nsuite = "inbox.jsonl"\noutside = ["ragas"]\n'
    )
    runner = CliRunner()
    assert runner.invoke(app, ["init"]).exit_code == 0
    store = Store.open(f"sqlite:///{tmp_path / 'home' / 'store.db'}")
    evaluated(store)
    store.append(ModelVersion(id="ver_1", base="b", base_digest="d", template_digest="t"))
    done = runner.invoke(app, ["outside"])
    assert done.exit_code == 0, done.output
    for told in ("ragas:exact_match", "none of 2", "MLflow:"):
        assert told in done.output
    said = store.find(Score, subjects=[f"{EVALUATION}_ragas"])
    assert {one.value for one in said} == {None, 0.0}  # a random model judges nothing; exact_match needs no judge
    assert all(one.reason for one in said if one.value is None)
    store.close()
    from mlflow.tracking import MlflowClient

    look = MlflowClient(MlflowMirror(tmp_path / "home").uri)
    runs = look.search_runs([look.get_experiment_by_name("sharpen").experiment_id])
    assert len(runs) == 4  # two arms, our own scorers and RAGAS'
    assert {"exact/mean", "exact/scored_share"} in [set(run.data.metrics) for run in runs]
