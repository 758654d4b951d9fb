from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.critique.conftest import Desk
from tests.critique.sums import Counting, expert, stubborn, sum_case

from sharpen.config import parse
from sharpen.critique import flow
from sharpen.critique.method import JUDGE
from sharpen.critique.methods import METHODS
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.mining.mine import mine
from sharpen.errors import BoundaryError, ConfigError
from sharpen.memory.recall import Recall
from sharpen.models.engine import Generation, Request
from sharpen.records import Critique, Message, Trace
from sharpen.store import Store
from sharpen.testing import ScriptedEngine
from sharpen.verify.suites import Suite

TEAMS = ("billing", "delivery", "sales")


def first_shot(request: Request, version: str) -> str:
    """Answer what the first example in the prompt answered; without one, the hint; without that, nothing of use."""
    said = [message.content for message in request.messages if message.role == "assistant"]
    asked = request.messages[-1].content
    return said[0] if said else asked.rpartition(": ")[2].rstrip(")") if "right answer" in asked else "?"


def guess(request: Request, version: str) -> str:
    """Know the answer by heart once there is an example; guess by the seed when sampling."""
    if request.temperature:
        return TEAMS[request.seed % 3]
    asked = request.messages[-1].content
    knows = len(request.messages) > 2 and asked != "question 2 of sales"
    return asked.split()[-1] if knows else first_shot(request, version)


def bodies(critiques: Sequence[Critique]) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"at"}) for one in critiques]


def fill(desk: Any, count: int = 10) -> None:
    for i in range(count):
        right = TEAMS[i % 3]
        trace_id = desk.ask(f"question {i} of {right}", right if i % 4 == 0 else f"maybe {i}", right)
        if i % 5 == 1:
            desk.correct(trace_id, right)


def test_every_answered_trace_gets_one_stored_critique_in_order(desk: Any) -> None:
    desk.ask("a", "billing", "billing")
    desk.ask("b", None, "billing")
    desk.ask("c", "It is sales.", "sales")
    found = desk.look(first_shot)
    assert [(one.trace_id, one.stop_reason, one.strategy) for one in found] == [
        ("trc_0000", "verified", "draft"), ("trc_0002", "verified", "extract"),
    ]  # fmt: skip
    assert desk.store.find(Critique) == found
    assert not any(one.needs_review for one in found)


def test_what_could_not_be_solved_asks_for_review(desk: Any) -> None:
    desk.ask("a", "nonsense", "billing")
    (one,) = desk.look(lambda request, version: "still wrong", rounds=1)
    assert (one.stop_reason, one.needs_review, one.tokens) == ("rounds", True, 2)


@pytest.mark.parametrize("tier", ["dev", "gate", "vault"])
def test_the_answers_of_held_out_cases_are_never_used(desk: Any, tier: Any) -> None:
    asked = desk.ask("held out", "It is billing.", "billing", tier=tier)
    (one,) = desk.look(lambda request, version: "billing")
    assert (one.trace_id, one.stop_reason, one.draft_score, one.revision) == (asked, "unverifiable", None, None)


def test_a_verified_revision_helps_the_next_portion(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "PORTION", 1)
    desk.ask("a", "It is sales.", "sales")
    desk.ask("b", "no idea", "sales")
    assert [one.strategy for one in desk.look(first_shot)] == ["extract", "recall"]


def test_corrections_are_used_unless_the_configuration_forbids_it(desk: Any, settings: Any) -> None:
    trace_id = desk.ask("a", "wrong")
    desk.correct(trace_id, "  sales ")
    desk.correct(trace_id, "   ")
    engine = ScriptedEngine(first_shot)
    engine.load("v", None)
    (one,) = desk.look(engine)
    assert (one.strategy, one.revision) == ("hint", "sales")
    forbidding = settings().model_copy(
        update={"curation": settings().curation.model_copy(update={"corrections": False})}
    )
    (one,) = flow.critique(forbidding, desk.store, engine, None, cycle_id="c2", version_id="v")
    assert one.stop_reason == "unverifiable"


def test_erased_words_are_left_alone(desk: Any) -> None:
    desk.ask("a", "billing", "billing")
    desk.store.erase(desk.ask("b", "billing", "billing"))
    assert [one.trace_id for one in desk.look(first_shot)] == ["trc_0000"]


def test_too_many_failures_stop_the_stage_with_the_first_named(desk: Any) -> None:
    def broken() -> None:
        raise RuntimeError("no memory left")

    engine = ScriptedEngine(first_shot, on_step=broken)
    engine.load("v", None)
    for i in range(4):
        desk.ask(f"fine {i}", "sales", "sales")
    desk.ask("bad", "no", "billing")
    assert desk.look(engine, max_error_share=0.2)[-1].error == "RuntimeError: no memory left"
    with pytest.raises(BoundaryError, match=r"1 of 5 critiques failed.*no memory left") as error:
        desk.look(engine, cycle_id="c2", max_error_share=0.1)
    failed = desk.store.find(Critique)[-1]
    assert error.value.next_step == f"sharpen show {failed.id}" and failed.stop_reason == "error"


def test_a_pass_that_is_cut_off_anywhere_ends_with_the_same_records(
    sqlite_store: Store, tmp_path: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PORTION", 3)
    fill(desk)
    straight = bodies(desk.look(guess))
    assert {one["strategy"] for one in straight} >= {"draft", "recall", "hint"}
    assert any(step["name"] == "revise" for one in straight for step in one["steps"])
    for cut in range(4):
        again = type(desk)(Store.open(f"sqlite:///{tmp_path}/again{cut}.db"))
        fill(again)
        append, calls = again.store.append, 0

        def dying(*records: Any, _append: Any = append, _cut: int = cut) -> None:
            nonlocal calls
            if calls == _cut:
                raise KeyboardInterrupt
            calls += 1
            _append(*records)

        monkeypatch.setattr(again.store, "append", dying)
        with pytest.raises(KeyboardInterrupt):
            again.look(guess)
        monkeypatch.setattr(again.store, "append", append)
        assert again.store.count(Critique) == 3 * cut
        assert bodies(again.look(guess)) == straight


def test_traffic_that_came_in_after_a_cut_joins_and_nothing_is_asked_twice(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PORTION", 4)
    fill(desk, 6)
    found = desk.look(first_shot)
    late = desk.ask("late", "It is sales.", "sales")
    desk.correct(found[1].trace_id, "another opinion")
    again = desk.look(first_shot)
    assert again[:6] == found
    assert [one.trace_id for one in again[6:]] == [late]


def test_a_finished_pass_asks_the_model_nothing(desk: Any) -> None:
    class Silent(ScriptedEngine):
        def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
            raise AssertionError("it was asked")

    fill(desk, 4)
    found = desk.look(first_shot)
    assert desk.look(Silent()) == found
    assert desk.look(first_shot, cycle_id="c2") != found


def test_progress_is_told(desk: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "PORTION", 4)
    fill(desk, 6)
    engine = ScriptedEngine(first_shot)
    engine.load("v", None)
    told: list[tuple[int, int]] = []
    flow.critique(
        settings(),
        desk.store,
        engine,
        desk.suite,
        cycle_id="c1",
        version_id="v",
        on_progress=lambda *at: told.append(at),
    )
    assert told == [(4, 6), (6, 6)]


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"refine"}))
def test_every_method_that_is_cut_off_ends_with_the_same_records(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PORTION", 2)
    settings = {"method": name, "rounds": 2, "samples": 2, "depth": 1}

    def filled(path: str) -> Any:
        made = Desk(Store.open(f"sqlite:///{tmp_path}/{path}.db"))
        for number in range(3):
            made.ask(f"Question {number}: what is 2 + 2?", "5", "4" if number else None)
        return made

    straight = bodies(filled("straight").look(Counting(expert), **settings))
    assert {one["method"] for one in straight} == {name}
    assert any(one["revision"] for one in straight)
    again = filled("again")
    append = again.store.append
    monkeypatch.setattr(again.store, "append", lambda *records: None if append(*records) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        again.look(Counting(expert), **settings)
    monkeypatch.undo()
    monkeypatch.setattr(flow, "PORTION", 2)
    assert again.store.count(Critique) == 2
    assert bodies(again.look(Counting(expert), **settings)) == straight


def test_what_no_verifier_accepted_is_neither_recalled_nor_given_a_score(desk: Any) -> None:
    desk.ask("What is 2 + 2?", "5")
    (one,) = desk.look(Counting(expert), method="cot", rounds=1, samples=1)
    assert (one.revision, one.revision_score, one.draft_score, one.scored_by) == ("4", None, None, "verifier")
    recall = Recall()
    flow._learn(recall, desk.store.find(Trace), {one.trace_id: one})
    assert len(recall) == 0


@pytest.mark.parametrize(("doubts", "label"), [(0, 1.0), (30, None)])
def test_the_model_labels_its_own_revision_only_where_its_gap_allows_it(
    sqlite_store: Store, tmp_path: Any, doubts: int, label: float | None
) -> None:
    def judge(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        number = int(asked.rpartition("Question ")[2][:3]) if "Question 0" in asked else 0
        if JUDGE in asked:
            return "Yes" if ("> 4" in asked and number >= doubts) or not ("Question 0" in asked or doubts) else "No"
        return ("4" if number < 30 else "5") if "Question 0" in asked else expert(request, version)

    cases = [sum_case(f"Question {number:03d}: what is 2 + 2?") for number in range(60)]
    sqlite_store.append(
        Trace(id="trc_1", messages=(Message(role="user", content="What is 2 + 2?"),), reply="5", version_id="v")
    )
    chosen = parse(
        {"pace": "demo", "home": str(tmp_path), "critique": {"method": "cot", "samples": 1, "self_labels": "measured"}}
    )
    engine = Counting(judge)
    (one,) = flow.critique(
        chosen, sqlite_store, engine, Suite("sums", tuple(cases), scorer="numeric"), cycle_id="c", version_id="v"
    )
    assert (one.revision, one.revision_score) == ("4", label)
    assert one.scored_by == ("self" if label else "verifier")
    assert ("label" in [step.name for step in one.steps]) == bool(label)
    examples, _ = mine(evidence(sqlite_store), chosen.curation)
    assert [one.find.chosen for one in examples] == (["4"] if label else [])


def test_a_reflection_is_kept_and_shown_at_the_next_try(desk: Any) -> None:
    desk.ask("What is 2 + 2?", "5")
    (first,) = desk.look(Counting(stubborn), method="reflexion", rounds=1)
    assert len(first.reflections) == 1
    engine = Counting(stubborn)
    desk.look(engine, cycle_id="c2", method="reflexion", rounds=1)
    retried = next(request for request in engine.asked if "Lessons from earlier tries" in request.messages[-1].content)
    assert f"> {first.reflections[0]}" in retried.messages[-1].content


def test_react_uses_the_configured_tools_and_refuses_those_that_are_not_there(desk: Any, settings: Any) -> None:
    desk.ask("What is 2 + 2?", "5")
    (one,) = desk.look(Counting(expert), method="react")
    assert (one.revision, "calculator: 4") == ("4", next(step.output for step in one.steps if step.name == "act"))
    with pytest.raises(ConfigError, match="'knowledge' is not there"):
        desk.look(Counting(expert), cycle_id="c2", method="react", tools=["knowledge"])

    def knows(request: Request, version: str) -> str:
        return "Action: knowledge[sums]" if "You may use" in request.messages[-1].content else "Answer: 4"

    found = flow.critique(
        settings(method="react", tools=["knowledge"], rounds=2), desk.store, Counting(knows), None,
        cycle_id="c3", version_id="v", tools={"knowledge": lambda concept: f"all about {concept}"},
    )  # fmt: skip
    assert [step.output for step in found[0].steps if step.name == "act"] == ["knowledge: all about sums"]


def test_an_old_critique_can_still_be_read() -> None:
    old = {
        "id": "crt_1", "at": "2026-11-01T00:00:00Z", "trace_id": "trc_1", "cycle_id": "c", "method": "refine",
        "steps": [{"name": "recall", "output": "billing", "tokens": 2}], "draft": "x", "draft_score": 0.0,
        "revision": "billing", "revision_score": 1.0, "strategy": "recall", "tokens": 2, "stop_reason": "verified",
        "needs_review": False, "error": None,
    }  # fmt: skip
    read = Critique.model_validate(old)
    assert (read.issues, read.reflections, read.scored_by, read.steps[0].parent) == ((), (), "verifier", None)
