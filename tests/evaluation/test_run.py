from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import EngineError
from sharpen.evaluation import run
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.cache import GenerationCache
from sharpen.evaluation.run import Evaluator
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
            [Message(role="user", content=f"repeat {n}")],
            f"repeat {n}",
            choices=(f"repeat {n}", "no"),
            tier="gate",
            groups=("age=old",),
            **fields,
        )
        for n in range(count)
    ]
    return Suite("echo", tuple(cases))


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


def ask(
    engine: ScriptedEngine,
    store: Store,
    asked: Suite | None = None,
    *,
    arm: Arm = ARM,
    evaluation_id: str = "eva_1",
    **fields: Any,
) -> list[Score]:
    on_progress = fields.pop("on_progress", None)
    evaluator = Evaluator(engine, store, **({"max_new_tokens": 8} | fields))
    return evaluator.evaluate(asked or suite(), "gate", arm, evaluation_id, on_progress)


def test_every_case_gets_one_stored_score_in_the_suites_order(sqlite_store: Store) -> None:
    scores = ask(CountingEngine(), sqlite_store)
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert [score.case_id for score in scores] == [case.id for case in suite().cases]
    assert sqlite_store.find(Score, subjects=["eva_1"]) == scores
    assert {(score.arm, score.suite, score.tier, score.scorer, score.groups) for score in scores} == {
        ("champion", "echo", "gate", "exact", ("age=old",))
    }


def test_asking_again_generates_nothing_and_returns_the_same(sqlite_store: Store) -> None:
    engine = CountingEngine()
    assert ask(engine, sqlite_store) == ask(engine, sqlite_store)
    assert engine.asked == 5
    ask(engine, sqlite_store, arm=Arm("challenger", "ver_0"))
    ask(engine, sqlite_store, evaluation_id="eva_2")
    assert engine.asked == 15


def test_with_a_cache_nothing_is_computed_twice_for_any_arm_evaluation_or_cycle(
    sqlite_store: Store, tmp_path: Path
) -> None:
    engine, path = CountingEngine(), tmp_path / "answers.db"
    first = ask(engine, sqlite_store, cache=GenerationCache(path, 1 << 20))
    again = ask(
        engine, sqlite_store, evaluation_id="eva_2", arm=Arm("first", "ver_0"), cache=GenerationCache(path, 1 << 20)
    )
    assert [score.value for score in again] == [score.value for score in first]
    assert engine.asked == 5
    for changed in ({"max_new_tokens": 9}, {"seed": 1}):
        ask(engine, sqlite_store, evaluation_id=f"eva {changed}", cache=GenerationCache(path, 1 << 20), **changed)
    assert engine.asked == 15
    engine.load("ver_1", None)
    ask(engine, sqlite_store, arm=Arm("challenger", "ver_1"), cache=GenerationCache(path, 1 << 20))
    assert engine.asked == 20


def test_log_probabilities_are_computed_once(sqlite_store: Store, tmp_path: Path) -> None:
    asked = []

    class Counting(FixedLogprobs):
        def logprobs(self, prompts: Any, completions: Any, version_id: str) -> list[list[float]]:
            asked.append(len(prompts))
            return super().logprobs(prompts, completions, version_id)

    engine, cache = Counting([-1.0, float("-inf")], [float("nan"), -1.0]), GenerationCache(tmp_path / "a.db", 1 << 20)
    scores = [
        [score.value for score in ask(engine, sqlite_store, suite(2, kind=kind), evaluation_id=kind, cache=cache)]
        for kind in ("choice", "choice_norm")
    ]
    assert scores[0] == [1.0, None]
    assert asked == [2, 1]  # what failed is tried again


def test_a_failed_generation_is_not_kept(sqlite_store: Store, tmp_path: Path) -> None:
    cache, short = GenerationCache(tmp_path / "a.db", 1 << 20), ScriptedEngine(max_context_tokens=2)
    short.load("ver_0", None)
    assert ask(short, sqlite_store, cache=cache)[0].value is None
    engine = CountingEngine()
    assert ask(engine, sqlite_store, evaluation_id="eva_2", cache=cache)[1].value == 1.0
    assert engine.asked == 5


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
    scores = ask(engine, sqlite_store, suite(kind="choice"))
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert [(score.reply, score.logprobs) for score in scores[:2]] == [("no", (-8.0, 0.0)), ("repeat 1", (0.0, -2.0))]
    assert {score.scorer for score in scores} == {"choice"}
    assert engine.asked == 0
    assert sqlite_store.find(Score) == scores


def test_a_suite_may_mix_kinds(sqlite_store: Store) -> None:
    written, chosen = suite(4).cases, suite(4, kind="choice").cases
    mixed = Suite("echo", (written[1], chosen[0], written[2], chosen[3]))
    scores = ask(CountingEngine(), sqlite_store, mixed)
    assert [(score.scorer, score.value) for score in scores] == [
        ("exact", 1.0), ("choice", 0.0), ("exact", 0.0), ("choice", 1.0),
    ]  # fmt: skip


def test_a_dialogue_is_answered_turn_by_turn_and_its_last_answer_counts(sqlite_store: Store) -> None:
    turns = [Message(role="system", content="s"), *(Message(role="user", content=text) for text in ("one", "two"))]
    heard: list[list[str]] = []

    def script(request: Request, version: str) -> str:
        heard.append([message.content for message in request.messages])
        return f"re: {request.messages[-1].content}"

    engine = ScriptedEngine(script)
    engine.load("ver_0", None)
    talk = Suite("talk", (make_case(turns, "re: two", kind="dialogue", tier="gate"),))
    assert [(score.value, score.reply) for score in ask(engine, sqlite_store, talk)] == [(1.0, "re: two")]
    assert heard == [["s", "one"], ["s", "one", "re: one", "two"]]


class FixedLogprobs(ScriptedEngine):
    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.rows = rows

    def logprobs(self, prompts: Any, completions: Any, version_id: str) -> list[list[float]]:
        return [list(row) for row in self.rows[: len(prompts)]]


def test_normalising_by_length_lets_a_long_choice_win(sqlite_store: Store) -> None:
    engine = FixedLogprobs([-4.0, -3.0])  # "repeat 0" has 8 bytes, "no" has 2
    plain = ask(engine, sqlite_store, suite(1, kind="choice"), evaluation_id="a")
    fair = ask(engine, sqlite_store, suite(1, kind="choice_norm"), evaluation_id="b")
    assert (plain[0].value, fair[0].value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("row", "value"),
    [([-1.0, -1.0], 0.0), ([float("nan"), -1.0], None), ([float("-inf"), float("-inf")], 0.0), ([-1.0], None)],
)
def test_a_tie_is_wrong_and_a_missing_logprob_is_unscored(
    sqlite_store: Store, row: list[float], value: float | None
) -> None:
    score = ask(FixedLogprobs(row), sqlite_store, suite(1, kind="choice"))[0]
    assert score.value == value
    assert (score.reason is None) == (value is not None)
