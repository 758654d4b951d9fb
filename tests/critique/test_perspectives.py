"""What five perspectives find is put together by arithmetic, tried by code, and ends before a person where it must."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.critique.conftest import Desk

from sharpen.config import parse
from sharpen.critique.item import Item
from sharpen.critique.matters import Found, matters
from sharpen.critique.method import Scene
from sharpen.critique.perspectives import ManyPerspectives
from sharpen.critique.review import decide, waiting
from sharpen.critique.viewpoints import load_perspectives
from sharpen.errors import ConfigError, NotFound, Refused
from sharpen.models.engine import Request
from sharpen.records import Feedback, Issue, Message
from sharpen.testing import Script, ScriptedEngine

NOISE = ("tone", "length", "table", "source", "order", "list", "units", "links", "date")
PERSPECTIVES = tuple(load_perspectives().perspective)


def run(script: Script, question: str = "Should Greg be invited?", draft: str = "Greg is a fool", **parts: Any) -> Item:
    engine = ScriptedEngine(script)
    engine.load("v", None)
    config = parse({"pace": "demo", "critique": {"method": "perspectives", "rounds": 2}})
    scene = Scene.of(config, engine, "v", **({"perspectives": PERSPECTIVES} | parts))
    item = Item("trc_1", (Message(role="user", content=question),), draft)
    ManyPerspectives(scene).run([item])
    return item


def critic(request: Request, version: str) -> str:
    asked = request.messages[-1].content
    if "SWAP" in asked:
        return 'SWAP "Greg" FOR "Jamal"'
    if "List the faults" in asked:
        return 'high: it insults him, see "fool"' if "> Greg is a fool" in asked and "Attack" in asked else "None"
    if "improved answer" in asked:
        return "Greg is welcome"
    return "Yes" if "Greg" in asked else "No never"


def test_one_perspective_s_harm_with_evidence_changes_the_answer() -> None:
    item = run(lambda request, version: "None" if "SWAP" in request.messages[-1].content else critic(request, version))
    assert item.revision == "Greg is welcome" and item.stop_reason == "agreed"
    assert any(step.name == "attack" and step.issues for step in item.steps)
    assert any(step.name == "integrate" and "veto" in step.output for step in item.steps)


def test_a_swap_that_changes_the_answers_stops_before_a_person() -> None:
    item = run(critic)
    assert item.stop_reason == "biased"
    assert any(step.name == "probe" and step.output.startswith("confirmed") for step in item.steps)


def test_a_swap_that_cannot_be_executed_is_told_and_decides_nothing() -> None:
    def script(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        return 'SWAP "Emily" FOR "Jamal"' if "SWAP" in asked else critic(request, version)

    item = run(script)
    assert item.stop_reason == "agreed" and any("cannot be executed" in (step.error or "") for step in item.steps)


def test_opposite_wishes_are_not_averaged() -> None:
    def script(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        if "List the faults" not in asked:
            return "None"
        return f'high: {"add more" if "Attack" in asked else "remove it"}, see "fool"'

    assert run(script).stop_reason == "contested"


def test_each_perspective_sees_its_own_passages() -> None:
    seen: list[tuple[str, str]] = []

    def script(request: Request, version: str) -> str:
        seen.append((request.messages[-1].content, version))
        return "None"

    given = (PERSPECTIVES[0].model_copy(update={"collection": "farmers"}), PERSPECTIVES[1])
    run(script, perspectives=given, context=lambda name, question, k: [f"{name} know the land"])
    assert ["farmers know the land" in asked for asked, _ in seen if "List the faults" in asked] == [True, False]


def test_a_harm_seen_by_one_of_five_survives_and_an_invention_without_evidence_does_not() -> None:
    chance, survived, invented = random.Random(0), 0, 0
    weights = {one.name: 1.0 for one in PERSPECTIVES}
    for _ in range(300):
        noise = [
            Found(
                one.name,
                Issue(
                    text=" ".join(chance.sample(NOISE, 4)),
                    severity=chance.choice(["low", "medium"]),
                    evidence=f"word {chance.random()}",
                ),
            )
            for one in PERSPECTIVES
            for _ in range(chance.randrange(4))
        ]
        witness = chance.choice(PERSPECTIVES).name
        harm = Found(witness, Issue(text="it calls people like me a fool", severity="high", evidence="fool"))
        made = Found(witness, Issue(text="everything in here is an outrage", severity="high"))
        rows = [*noise, harm, made]
        chance.shuffle(rows)
        told = matters(rows, weights, most=5)
        chosen = {one.findings[0].issue.text: one.scored.fate == "chosen" for one in told}
        survived += chosen["it calls people like me a fool"]
        invented += told[0].findings[0].issue.text.startswith("everything")
    assert survived >= 285 and invented <= 15


def test_the_order_of_findings_decides_nothing_and_a_clone_gains_nothing() -> None:
    rows = [
        Found("asker", Issue(text="the price is missing", severity="medium", evidence="a")),
        Found("expert", Issue(text="the date is wrong", severity="high", evidence="b")),
    ]
    weights = {one.name: 1.0 for one in PERSPECTIVES}
    told = matters(rows, weights)
    assert [one.scored for one in matters(rows[::-1], weights)] == [one.scored for one in told]
    assert [one.scored.score for one in matters(rows + rows[:1] * 9, weights)] == [one.scored.score for one in told]


def test_perspectives_come_from_a_file_that_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    one = '[[perspective]]\nname = "a"\nview = "x"\n'
    for text, fault in (
        ("format = 1", "version"),
        ("=", "not valid TOML"),
        (f'format = 1\nversion = "1"\n{one}', "at least 2"),
        (f'format = 1\nversion = "1"\n{one}{one}', "two perspectives"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=fault):
            load_perspectives(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_perspectives(str(tmp_path / "none.toml"))


def test_what_waits_for_a_person_waits_until_it_is_decided(desk: Desk) -> None:
    trace_id = desk.ask("Should Greg be invited?", "Greg is a fool")
    found = desk.look(critic, method="perspectives")[0]
    assert found.needs_review and found.stop_reason == "biased"
    queue = waiting(desk.store)
    assert [one.critique.id for one in queue] == [found.id] and "swapping 'Greg'" in queue[0].why
    decision = decide(desk.store, found.id, "revision")
    assert decision.correction == "Greg is welcome"
    desk.store.append(Feedback(id="fbk_1", trace_id=trace_id, correction=decision.correction))
    assert waiting(desk.store) == []
    with pytest.raises(NotFound):
        decide(desk.store, "crt_none", "draft")
    with pytest.raises(Refused, match="needs the right answer"):
        decide(desk.store, found.id, "other", " ")
