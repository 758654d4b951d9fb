from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.critique.conftest import Desk
from tests.critique.sums import Counting, expert, stubborn

from sharpen.config import parse
from sharpen.critique import flow
from sharpen.curation.mining.evidence import evidence
from sharpen.curation.mining.mine import mine
from sharpen.records import Critique
from sharpen.store import Store

QUESTION = "What is 2 + 2?"


def bodies(critiques: Sequence[Critique]) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"at"}) for one in critiques]


def look(desk: Any, engine: Counting, cycle_id: str, version_id: str = "v", **settings: Any) -> list[Critique]:
    engine.load(version_id, None)
    desk.cases = [case.model_copy(update={"choices": ()}) for case in desk.cases]  # sums have no teams to choose from
    config = parse({"pace": "demo", "critique": {"method": "cot", "rounds": 1, "samples": 1, **settings}})
    return flow.critique(config, desk.store, engine, desk.suite, cycle_id=cycle_id, version_id=version_id)


def test_what_a_verifier_accepted_is_not_looked_at_again(desk: Any) -> None:
    desk.ask(QUESTION, "5", "4")
    desk.ask(f"{QUESTION} Now.", "4", "4")
    desk.ask(f"{QUESTION} Please.", "5")
    first = look(desk, Counting(), "c1")
    assert [one.stop_reason for one in first] == ["verified", "verified", "agreed"]
    engine = Counting()
    second = look(desk, engine, "c2")
    assert second[:2] == first[:2]
    assert (second[2].cycle_id, len(engine.asked)) == ("c2", 1), "nobody verified the third: it is looked at again"
    assert desk.store.count(Critique) == 4


@pytest.mark.parametrize("change", ["version", "settings", "correction", "case"])
def test_a_critique_stands_only_while_all_that_it_rests_on_does(change: str, desk: Any) -> None:
    asked = desk.ask(QUESTION, "5", "4")
    look(desk, Counting(), "c1")
    if change == "correction":
        desk.correct(asked, "four")
    if change == "case":
        desk.cases = [case.model_copy(update={"reference": "IV"}) for case in desk.cases]
    version, settings = (
        ("v2", {}) if change == "version" else ("v", {"temperature": 0.1} if change == "settings" else {})
    )
    engine = Counting()
    (one,) = look(desk, engine, "c2", version, **settings)
    assert one.cycle_id == "c2" and engine.asked


def test_an_unlucky_search_of_another_version_does_not_lose_what_was_right(desk: Any) -> None:
    desk.ask(QUESTION, "5", "4")
    (first,) = look(desk, Counting(expert), "c1")
    (second,) = look(desk, Counting(stubborn), "c2", "v2")
    assert (second.revision, second.revision_score, second.strategy) == (first.revision, 1.0, "earlier")
    assert (second.steps[-1].name, second.stop_reason, second.needs_review) == ("earlier", "verified", False)
    examples, _ = mine(evidence(desk.store), parse({}).curation)
    assert [(one.find.chosen, second.id in one.find.evidence) for one in examples] == [("4", True)]


def test_an_answer_that_was_right_once_is_not_brought_back_when_it_no_longer_is(desk: Any) -> None:
    desk.ask(QUESTION, "5", "4")
    look(desk, Counting(expert), "c1")
    desk.cases = [case.model_copy(update={"reference": "IV"}) for case in desk.cases]
    (second,) = look(desk, Counting(stubborn), "c2", "v2")
    assert (second.stop_reason, second.revision_score) == ("agreed", 0.0)
    assert second.strategy != "earlier"


def test_a_later_pass_that_is_cut_off_ends_with_the_same_records(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(flow, "PORTION", 2)

    def lucky(request: Any, version: str) -> str:
        return stubborn(request, version) if "number 3" in str(request.messages) else expert(request, version)

    def filled(name: str) -> Any:
        made = Desk(Store.open(f"sqlite:///{tmp_path}/{name}.db"))
        for number in range(7):
            made.ask(f"{QUESTION} This is number {number}.", "5", "4" if number % 3 == 0 else None)
        look(made, Counting(lucky), "c1")
        return made

    straight = bodies(look(filled("straight"), Counting(expert), "c2"))
    assert {one["cycle_id"] for one in straight} == {"c1", "c2"}
    again = filled("again")
    append = again.store.append
    monkeypatch.setattr(again.store, "append", lambda *records: None if append(*records) else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        look(again, Counting(expert), "c2")
    monkeypatch.setattr(again.store, "append", append)
    assert bodies(look(again, Counting(expert), "c2")) == straight
