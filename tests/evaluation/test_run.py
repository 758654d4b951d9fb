from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sharpen.errors import EngineError
from sharpen.evaluation import run
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.run import evaluate, evaluate_choices
from sharpen.models.engine import Generation, Request
from sharpen.records import Message, Score
from sharpen.store import Store
from sharpen.testing import ScriptedEngine
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

ARM = Arm("champion", "ver_0")


def suite(count: int = 5, **fields: Any) -> Suite:
    cases = [
        make_case(
            [Message(role="user", content=f"repeat {n}")], f"repeat {n}", choices=(f"repeat {n}", "no"), tier="gate"
        )
        for n in range(count)
    ]
    return Suite("echo", tuple(cases), **fields)


class CountingEngine(ScriptedEngine):
    """Repeats the question, except that even numbers get 'no'; counts what it was asked."""

    def __init__(self) -> None:
        super().__init__(lambda request, version: self._answer(request))
        self.asked = 0
        self.load("ver_0", None)

    @staticmethod
    def _answer(request: Request) -> str:
        question = request.messages[-1].content
        return "no" if int(question.split()[-1]) % 2 == 0 else question

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        self.asked += len(requests)
        return super().generate(requests, version_id)


def ask(engine: ScriptedEngine, store: Store, asked: Suite | None = None, **fields: Any) -> list[Score]:
    settings = {"evaluation_id": "eva_1", "max_new_tokens": 8} | fields
    return evaluate(engine, store, asked or suite(), "gate", settings.pop("arm", ARM), **settings)


def test_every_case_gets_one_stored_score_in_the_suites_order(sqlite_store: Store) -> None:
    scores = ask(CountingEngine(), sqlite_store)
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert [score.case_id for score in scores] == [case.id for case in suite().cases]
    assert sqlite_store.find(Score, subjects=["eva_1"]) == scores
    assert {(score.arm, score.suite, score.tier, score.scorer) for score in scores} == {
        ("champion", "echo", "gate", "exact")
    }


def test_asking_again_generates_nothing_and_returns_the_same(sqlite_store: Store) -> None:
    engine = CountingEngine()
    assert ask(engine, sqlite_store) == ask(engine, sqlite_store)
    assert engine.asked == 5
    ask(engine, sqlite_store, arm=Arm("challenger", "ver_0"))
    ask(engine, sqlite_store, evaluation_id="eva_2")
    assert engine.asked == 15


def test_a_killed_evaluation_goes_on_where_it_stopped(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHUNK", 2)
    engine = CountingEngine()
    generate = engine.generate

    def dies(requests: Sequence[Request], version_id: str) -> list[Generation]:
        if engine.asked == 4:
            raise EngineError("out of memory")
        return generate(requests, version_id)

    monkeypatch.setattr(engine, "generate", dies)
    with pytest.raises(EngineError):
        ask(engine, sqlite_store)
    assert sqlite_store.count(Score) == 4
    monkeypatch.setattr(engine, "generate", generate)
    seen: list[tuple[int, int]] = []
    scores = ask(engine, sqlite_store, on_progress=lambda done, total: seen.append((done, total)))
    assert (engine.asked, len(scores), seen) == (5, 5, [(5, 5)])


def test_a_failed_generation_is_a_score_without_a_value(sqlite_store: Store) -> None:
    engine = ScriptedEngine(max_context_tokens=2)
    engine.load("ver_0", None)
    scores = ask(engine, sqlite_store)
    assert all(score.value is None and "tokens" in str(score.reason) and score.reply is None for score in scores)


def test_a_version_that_is_not_loaded_is_an_error_not_a_zero(sqlite_store: Store) -> None:
    with pytest.raises(EngineError, match="not loaded"):
        ask(ScriptedEngine(), sqlite_store)


def test_a_suite_of_choices_is_answered_by_the_likeliest(sqlite_store: Store) -> None:
    engine = CountingEngine()
    scores = ask(engine, sqlite_store, suite(scorer="choice"))
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert [score.reply for score in scores[:2]] == ["no", "repeat 1"]
    assert {score.scorer for score in scores} == {"choice"}
    assert engine.asked == 0


class FixedLogprobs(ScriptedEngine):
    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.rows = rows

    def logprobs(self, prompts: Any, completions: Any, version_id: str) -> list[list[float]]:
        return [list(row) for row in self.rows[: len(prompts)]]


def test_normalising_by_length_lets_a_long_choice_win(sqlite_store: Store) -> None:
    engine = FixedLogprobs([-4.0, -3.0])  # "repeat 0" has 8 bytes, "no" has 2
    plain = evaluate_choices(engine, sqlite_store, suite(1), "gate", ARM, evaluation_id="a")
    fair = evaluate_choices(engine, sqlite_store, suite(1), "gate", ARM, evaluation_id="b", normalise=True)
    assert (plain[0].value, fair[0].value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("row", "value"),
    [([-1.0, -1.0], 0.0), ([float("nan"), -1.0], None), ([float("-inf"), float("-inf")], 0.0), ([-1.0], None)],
)
def test_a_tie_is_wrong_and_a_missing_logprob_is_unscored(
    sqlite_store: Store, row: list[float], value: float | None
) -> None:
    score = evaluate_choices(FixedLogprobs(row), sqlite_store, suite(1), "gate", ARM, evaluation_id="a")[0]
    assert score.value == value
    assert (score.reason is None) == (value is not None)
