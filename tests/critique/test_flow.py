from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sharpen.critique import flow
from sharpen.errors import BoundaryError
from sharpen.models.engine import Generation, Request
from sharpen.records import Critique
from sharpen.store import Store
from sharpen.testing import ScriptedEngine

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
    desk.ask("bad", "no", "sales")
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
