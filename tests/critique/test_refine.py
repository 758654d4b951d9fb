from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharpen.config import Config
from sharpen.critique.item import Item
from sharpen.critique.method import Scene
from sharpen.critique.methods import draw
from sharpen.critique.refine import Refine
from sharpen.memory.recall import Recall
from sharpen.models.engine import Request
from sharpen.records import Message, Step
from sharpen.testing import ScriptedEngine
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

TEAMS = ("billing", "delivery", "sales")
Settings = Callable[..., Config]


def item(question: str, draft: str, right: str | None = "billing", **fields: Any) -> Item:
    messages = (Message(role="system", content="Name the team."), Message(role="user", content=question))
    case = make_case(messages, right, choices=TEAMS, tier="train") if right else None
    return Item("trc_1", messages, draft, case=case, choices=TEAMS if case else (), **fields)


class Listening(ScriptedEngine):
    """Gives the answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__(self._next)
        self.answers, self.asked = list(answers), list[Request]()
        self.load("v", None)

    def _next(self, request: Request, version: str) -> str:
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else "no idea"


KNOWN = (((Message(role="user", content="are you open today?"),), "sales"),)


def refine(
    engine: ScriptedEngine, one: Item, settings: Config, recall: Recall | None = None, suite: Suite | None = None
) -> Item:
    known = Recall(KNOWN) if recall is None else recall
    scene = Scene.of(settings, engine, "v", suite=suite or Suite("desk", ()), recall=known)
    Refine(scene).run([one], seed=1)
    return one


def names(one: Item) -> list[str]:
    return [step.name for step in one.steps]


def test_a_right_draft_is_verified_and_nothing_is_asked(settings: Settings) -> None:
    engine = Listening()
    one = refine(engine, item("refund?", "billing"), settings())
    assert (one.stop_reason, one.strategy, one.draft_score, one.revision) == ("verified", "draft", 1.0, None)
    assert engine.asked == [] and one.steps == []


def test_the_one_team_that_a_draft_names_is_read_out_of_it(settings: Settings) -> None:
    engine = Listening()
    one = refine(engine, item("refund?", "I think that Billing can help you."), settings())
    assert (one.stop_reason, one.strategy, one.revision, one.revision_score) == ("verified", "extract", "billing", 1.0)
    assert (
        one.draft_score == 0.0
        and one.steps == [Step(name="extract", output="billing", verified=1.0)]
        and engine.asked == []
    )


def test_nothing_is_read_out_of_a_draft_that_names_two_teams_or_part_of_a_word(settings: Settings) -> None:
    for draft in ("billing or sales", "rebilling", "nobody"):
        assert "extract" not in names(refine(Listening(), item("refund?", draft), settings(rounds=0)))


def test_a_recalled_example_helps_and_is_put_before_the_question(settings: Settings) -> None:
    engine = Listening("billing")
    shots = Recall([((Message(role="system", content="x"), Message(role="user", content="my bill")), "billing")])
    one = refine(engine, item("refund?", "no"), settings(), shots)
    assert (one.stop_reason, one.strategy, one.revision) == ("verified", "recall", "billing")
    assert one.steps == [Step(name="recall", output="billing", tokens=1, verified=1.0)]
    assert [(m.role, m.content) for m in engine.asked[0].messages] == [
        ("system", "Name the team."), ("user", "my bill"), ("assistant", "billing"), ("user", "refund?"),
    ]  # fmt: skip
    assert engine.asked[0].temperature == 0


def test_later_rounds_sample_and_never_repeat_a_seed(settings: Settings) -> None:
    engine = Listening()
    one = refine(engine, item("refund?", "no"), settings(rounds=3, samples=4, temperature=0.5))
    assert names(one) == ["recall"] + ["revise"] * 8
    seeds = [request.seed for request in engine.asked[1:]]
    assert len(set(seeds)) == 8
    assert {request.temperature for request in engine.asked[1:]} == {0.5}


def test_a_sample_that_is_right_ends_the_search(settings: Settings) -> None:
    engine = Listening("sales", "delivery", "billing", "billing")
    one = refine(engine, item("refund?", "no"), settings(rounds=4, samples=3))
    assert (one.stop_reason, one.strategy, one.revision) == ("verified", "revise", "billing")
    assert len(engine.asked) == 4


def test_without_examples_the_likeliest_choice_is_tried_first(settings: Settings) -> None:
    class Leaning(Listening):
        def logprobs(self, prompts: Any, completions: Any, version_id: str) -> list[list[float]]:
            return [[-1.0 if text == "billing" else -2.0 for text in texts] for texts in completions]

    one = refine(Leaning(), item("refund?", "no"), settings(), Recall())
    assert (one.stop_reason, one.strategy, one.revision) == ("verified", "choose", "billing")
    taught = refine(Leaning(), item("refund?", "no"), settings())
    assert "choose" not in names(taught)
    corrected = refine(Leaning(), item("refund?", "no", None, correction="sales"), settings(), Recall())
    assert "choose" not in names(corrected)


def test_the_rounds_are_bounded(settings: Settings) -> None:
    for rounds, asked in ((0, 0), (1, 1), (2, 4), (16, 1 + 15 * 3)):
        engine = Listening()
        one = refine(engine, item("refund?", "no"), settings(rounds=rounds, samples=3))
        assert (one.stop_reason, one.revision, len(engine.asked)) == ("rounds", None, asked)


def test_a_correction_is_shown_as_a_hint_once(settings: Settings) -> None:
    engine = Listening("sales")
    one = refine(engine, item("refund?", "no", None, correction="sales"), settings())
    assert (one.stop_reason, one.strategy, one.revision) == ("verified", "hint", "sales")
    assert "The right answer is: sales" in engine.asked[0].messages[-1].content
    stubborn = Listening()
    one = refine(stubborn, item("refund?", "no", None, correction="sales"), settings(rounds=3))
    assert (one.stop_reason, one.revision, len(stubborn.asked)) == ("rounds", None, 1)


def test_a_correction_outranks_the_case(settings: Settings) -> None:
    one = refine(Listening("sales"), item("refund?", "billing", "billing", correction="sales"), settings())
    assert (one.draft_score, one.revision) == (0.0, "sales")


def test_without_case_and_correction_nothing_can_be_verified(settings: Settings) -> None:
    engine = Listening()
    one = refine(engine, item("how are you?", "fine", None), settings())
    assert (one.stop_reason, one.draft_score, one.error) == ("unverifiable", None, None)
    assert engine.asked == []


def test_a_verifier_that_fails_is_data_of_its_item(settings: Settings) -> None:
    def grader(case: Any, reply: str) -> Any:
        raise ZeroDivisionError("no such unit")

    one = refine(Listening(), item("refund?", "no"), settings(), suite=Suite("desk", (), grader=grader))
    assert (one.stop_reason, one.open) == ("error", False)
    assert one.error == "verifier: ZeroDivisionError: no such unit"


def test_an_engine_that_fails_is_recorded_not_raised(settings: Settings) -> None:
    def die() -> None:
        raise RuntimeError("out of memory")

    engine = ScriptedEngine(lambda request, version: "no", on_step=die)
    engine.load("v", None)
    one = refine(engine, item("refund?", "no"), settings())
    assert (one.stop_reason, one.error) == ("error", "RuntimeError: out of memory")


def test_an_answer_with_an_error_is_an_error_unless_a_later_one_is_right(settings: Settings) -> None:
    crowded = Recall([((Message(role="user", content="word " * 40),), "billing")])
    small = ScriptedEngine(lambda request, version: "billing", max_context_tokens=30)
    small.load("v", None)
    one = refine(small, item("refund?", "no"), settings(), crowded)
    assert one.stop_reason == "error" and "at most 29 fit" in (one.error or "")

    class Recovering(ScriptedEngine):
        def generate(self, requests: Any, version_id: str) -> Any:
            self._limit = 2048 if requests[0].temperature else 3
            return super().generate(requests, version_id)

    engine = Recovering(lambda request, version: "billing")
    engine.load("v", None)
    one = refine(engine, item("refund?", "no"), settings())
    assert (one.stop_reason, one.strategy, one.error) == ("verified", "revise", None)


def test_the_graph_draws_itself() -> None:
    drawn = draw("refine")
    assert drawn.lstrip().startswith(("---", "graph"))
    assert all(node in drawn for node in ("draft", "extract", "verify", "revise", "score", "__end__"))
