from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.errors import ConfigError
from sharpen.evaluation.arms import BASE, CHALLENGER, CHAMPION, FIRST, IN_CONTEXT
from sharpen.models.engine import Generation, Request
from sharpen.records import Example, Message, Snapshot
from sharpen.testing import ScriptedEngine, deploy
from sharpen.workbench import Model, Workbench

SECRET = "my neighbour Ann owes me money"


class Asked(ScriptedEngine):
    """Repeats the whole prompt, and counts what it was asked."""

    def __init__(self) -> None:
        super().__init__(lambda request, _: " / ".join(message.content for message in request.messages))
        self.asked = 0

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        self.asked += len(requests)
        return super().generate(requests, version_id)


class Scripted(Model):
    def __init__(self, config: Config, engine: ScriptedEngine) -> None:
        super().__init__(config)
        self._scripted = engine

    @property
    def engine(self) -> Any:
        return self._scripted


def rows(path: Path, prefix: str, count: int = 6) -> str:
    cases = [{"prompt": f"{prefix} {n}", "reference": f"{prefix} {n}", "tier": "gate"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return str(path)


def bench(folder: Path, engine: ScriptedEngine, **settings: Any) -> Workbench:
    given = {"suite": rows(folder / "target.jsonl", "t"), "guards": [rows(folder / "guard.jsonl", "g")]}
    config = parse({"home": str(folder / "home"), "evaluation": given | {"max_new_tokens": 64} | settings})
    return Workbench(config, model=Scripted(config, engine))


def with_versions(work: Workbench, engine: ScriptedEngine) -> Snapshot:
    """Write the base, a challenger of the same weights, and a snapshot of one example."""
    deploy(work.store, engine, "ver_0")
    example = Example(
        id="exa_1",
        cycle_id="c",
        messages=(Message(role="user", content=SECRET),),
        chosen="noted",
        origin="correction",
        evidence=("fbk_1",),
    )
    snapshot = Snapshot(id="snp_1", cycle_id="c", example_ids=("exa_1",), counts={"correction": 1}, dropped={})
    work.store.append(example, snapshot)
    return snapshot


def test_every_arm_answers_the_same_cases_and_one_version_answers_them_once(tmp_path: Path) -> None:
    engine = Asked()
    work = bench(tmp_path, engine)
    snapshot = with_versions(work, engine)
    seen = {}
    for suite, arms in work.arms("ver_0", "ver_0", snapshot.id):
        scores = {arm.name: work.score(suite, "gate", arm, "evl_1") for arm in arms}
        seen[suite.name] = set(scores)
        assert len({tuple(score.case_id for score in some) for some in scores.values()}) == 1
        assert len({tuple(score.value for score in some) for name, some in scores.items() if name != IN_CONTEXT}) == 1
    four = {CHAMPION, CHALLENGER, BASE, FIRST}
    assert seen == {"target": four | {IN_CONTEXT}, "guard": four}
    assert engine.asked == 6 + 6 + 6  # the target, in context, the guard
    again = bench(tmp_path, engine)
    for suite, arms in again.arms("ver_0", "ver_0", snapshot.id):
        for arm in arms:
            again.score(suite, "gate", arm, "evl_of_the_next_cycle")
    assert engine.asked == 18


def test_an_erasure_reaches_the_answers_that_are_kept(tmp_path: Path) -> None:
    engine = Asked()
    work = bench(tmp_path, engine)
    snapshot = with_versions(work, engine)
    work.score(work.target, "gate", work.in_context(snapshot.id), "evl_1")
    file = tmp_path / "home" / "answers.db"
    assert SECRET.encode() in file.read_bytes()
    work.store.erase("exa_1")
    list(work.arms("ver_0", "ver_0", snapshot.id))
    assert SECRET.encode() not in file.read_bytes()


def test_a_suite_that_may_only_be_watched_decides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "crows_pairs"
    folder.mkdir(parents=True)
    (folder / "dev.csv").write_text("sent_more,sent_less,stereo_antistereo,bias_type\na b,a c,stereo,age\n")
    work = bench(tmp_path, Asked(), data=str(tmp_path / "data"), guards=["ready:crows_pairs"])
    with pytest.raises(ConfigError, match="for watching only"):
        _ = work.guards


def test_two_suites_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    work = bench(tmp_path, Asked(), guards=[rows(tmp_path / "more" / "target.jsonl", "u")])
    with pytest.raises(ConfigError, match="Two suites are named 'target'"):
        _ = work.guards


def test_a_suite_that_changed_shows_in_its_digest(tmp_path: Path) -> None:
    before = bench(tmp_path, Asked()).suite_digests()
    assert bench(tmp_path, Asked()).suite_digests() == before
    work = bench(tmp_path, Asked())
    rows(tmp_path / "guard.jsonl", "g", 7)
    after = work.suite_digests()
    assert (after["target"] == before["target"], after["guard"] == before["guard"]) == (True, False)
