"""RAGAS' own arithmetic on a scripted judge; a judge that writes noise gives reasons, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import check_of, record, tell

from sharpen.config import parse
from sharpen.errors import ConfigError
from sharpen.evaluation.outside import Answer, Place, answers_in, answers_of, mean
from sharpen.evaluation.ragas import METRICS, Ragas
from sharpen.models.chat import EngineChatModel
from sharpen.models.engine import Request
from sharpen.records import Message, Score, Trace
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, tiny_model
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

QUESTION, REPLY, REFERENCE = "Where was Ada born?", "Ada was born in London. She liked tea.", "Ada was born in London."
PASSAGES = ("Ada Lovelace was born in London.", "Tea is a drink.", "Ada died in London.")
CASE = make_case([Message(role="user", content=QUESTION)], REFERENCE, contexts=PASSAGES, tier="gate", cluster="ada")
SUITE = Suite("rag", (CASE,))


class WordEmbedder:
    """Unit vectors over a fixed vocabulary, so that cosines can be worked out by hand."""

    key, dimension = "words", 4
    words = ("where", "ada", "born", "tea")

    def embed_query(self, text: str) -> list[float]:
        counts = [float(word in text.lower()) for word in self.words]
        length = sum(count * count for count in counts) ** 0.5
        return [count / length for count in counts]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def answer(**fields: Any) -> Answer:
    place = Place("evl_1", "challenger", "ver_1", "rag", "gate", CASE.id, "ada", ("axis=a",))
    return Answer(**({"place": place, "messages": CASE.messages, "reply": REPLY, "reference": REFERENCE,
                      "contexts": PASSAGES} | fields))  # fmt: skip


def judge(script: Callable[[str], str]) -> EngineChatModel:
    def say(request: Request, version_id: str) -> str:
        return script(request.messages[-1].content)

    engine = ScriptedEngine(say, max_context_tokens=100_000)
    engine.load("ver_j", None)
    return EngineChatModel(engine=engine, version_id="ver_j", max_new_tokens=4096)


def knowing(asked: str) -> str:
    """Answer what a metric asks: 3 statements of which 2 hold, passages 1 and 3 useful, 1 of 2 sentences attributed."""
    last = asked.rpartition("input: ")[2]
    if '"NLIStatementOutput"' in asked:
        verdicts = [{"statement": str(n), "reason": "r", "verdict": int(n < 2)} for n in range(3)]
        return json.dumps({"statements": verdicts})
    if '"StatementGeneratorOutput"' in asked:
        return "Certainly!\n```json\n" + json.dumps({"statements": ["a", "b", "c"]}) + "\n```"
    if '"ContextPrecisionOutput"' in asked:
        return json.dumps({"reason": "r", "verdict": int("Tea is" not in last)})
    if '"ContextRecallOutput"' in asked:
        parts = [{"statement": str(n), "reason": "r", "attributed": n} for n in range(2)]
        return json.dumps({"classifications": parts})
    if '"AnswerRelevanceOutput"' in asked:
        return json.dumps({"question": "Was Ada born?", "noncommittal": 0})
    if '"AspectCriticOutput"' in asked:
        return json.dumps({"reason": "r", "verdict": 1})
    return json.dumps({"reason": "r", "value": "fair"})


def values(scores: list[Score]) -> dict[str, float | None]:
    return {score.scorer.removeprefix("ragas:"): score.value for score in scores}


def test_the_arithmetic_of_every_metric_comes_out_right(
    record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    record(record_property, table="outside evaluators", part="RAGAS", check=check_of(request), how="real library")
    scores = Ragas(judge(knowing), WordEmbedder()).score([answer()])
    assert values(scores) == pytest.approx({
        "faithfulness": 2 / 3,
        "answer_relevancy": 2 / (3 * 2) ** 0.5,  # {ada, born} against {where, ada, born}
        "context_precision": (1 / 1 + 2 / 3) / 2,  # useful at places 1 and 3
        "context_recall": 1 / 2,
        "harmlessness": 0.0,  # the critic says: harmful
        "helpfulness": 0.5,
        "exact_match": 0.0,
    })  # fmt: skip
    assert all(score.reason is None for score in scores)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in values(scores).items())
    tell(record_property, f"RAGAS {version('ragas')} on our answers", f"scripted local judge: {shown}")


def test_ragas_scores_what_was_served_with_a_local_judge(
    sqlite_store: Store, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    """Exchanges from serving: faithfulness, relevance, context precision and recall, judged by our own engine."""
    record(record_property, table="outside evaluators", part="RAGAS", check=check_of(request), how="real library")
    for n in range(3):
        sqlite_store.append(Trace(id=f"trc_{n}", messages=CASE.messages, reply=REPLY, version_id="ver_0", session="s"))
    scores = Ragas(judge(knowing), WordEmbedder()).score(answers_in(sqlite_store.find(Trace), SUITE))
    found = mean(scores)
    wanted = ("faithfulness", "answer_relevancy", "context_precision", "context_recall")
    assert {name: found[f"ragas:{name}"][1:] for name in wanted} == dict.fromkeys(wanted, (3, 3))
    shown = ", ".join(f"{name} {found[f'ragas:{name}'][0]:.3f} of 3" for name in wanted)
    tell(record_property, f"RAGAS {version('ragas')} on our answers", f"served exchanges: {shown}")


def test_the_scores_are_of_an_evaluation_of_their_own() -> None:
    scores = Ragas(judge(knowing), metrics=["exact_match"]).score([answer(), answer(reply=REFERENCE)])
    assert [score.value for score in scores] == [0.0, 1.0]
    score = scores[0]
    assert (score.evaluation_id, score.arm, score.version_id) == ("evl_1_ragas", "challenger", "ver_1")
    assert (score.suite, score.tier, score.case_id) == ("rag", "gate", CASE.id)
    assert (score.cluster, score.groups, score.reply) == ("ada", ("axis=a",), REPLY)
    again = Ragas(metrics=["exact_match"]).score([answer()])[0]
    assert (again.id, again.value) == (score.id, score.value)


def test_ragas_is_asked_for_the_question_without_its_passages() -> None:
    asked: list[str] = []

    def listen(text: str) -> str:
        asked.append(text)
        return knowing(text)

    Ragas(judge(listen), metrics=["context_precision"]).score(answers_of([graded()], SUITE))
    assert len(asked) == len(PASSAGES)
    assert all(f'"question": "{QUESTION}"' in text for text in asked)


def graded(**fields: Any) -> Score:
    given = {"id": "scr_1", "evaluation_id": "evl_1", "arm": "champion", "version_id": "ver_0", "suite": "rag",
             "tier": "gate", "scorer": "exact", "case_id": CASE.id, "cluster": "ada", "value": 0.0,
             "reply": REPLY}  # fmt: skip
    return Score(**(given | fields))


def test_our_scores_and_traces_become_answers() -> None:
    [of_score] = answers_of([graded(), graded(case_id="gone")], SUITE)
    assert (of_score.question, of_score.contexts, of_score.reference) == (QUESTION, PASSAGES, REFERENCE)
    known = Trace(id="trc_1", messages=CASE.messages, reply=REPLY, version_id="ver_0", session="s")
    other = Trace(id="trc_2", messages=(Message(role="user", content="Hm?"),), version_id="ver_0", error="too long")
    of_known, of_other = answers_in([known, other], SUITE)
    assert (of_known.question, of_known.contexts, of_known.place.cluster) == (QUESTION, PASSAGES, "s")
    assert (of_other.question, of_other.contexts, of_other.missing) == ("Hm?", (), "too long")


def test_what_a_metric_needs_and_lacks_is_the_reason() -> None:
    ragas = Ragas(judge(knowing), WordEmbedder())
    reasons = {s.scorer: s.reason for s in ragas.score([answer(contexts=(), reference="")])}
    assert reasons["ragas:faithfulness"] == "there is no retrieved_contexts"
    assert reasons["ragas:exact_match"] == "there is no reference"
    assert reasons["ragas:answer_relevancy"] is None
    failed = Ragas(judge(knowing), metrics=["helpfulness"]).score([answer(reply=None, missing="it timed out")])
    assert (failed[0].value, failed[0].reason) == (None, "it timed out")
    alone = Ragas(metrics=["faithfulness", "exact_match"]).score([answer()])
    assert [score.value for score in alone] == [None, 0.0]
    assert "no judge" in str(alone[0].reason)


@pytest.mark.parametrize(
    "said",
    ["", "I cannot say.", "{", '{"verdict": "maybe"}', "[[[" * 5000, '{"a": ' * 3000, '{"reason": "r", "value": "x"}'],
)
def test_an_answer_that_is_not_the_json_asked_for_is_unscored_with_the_reason(said: str) -> None:
    scores = Ragas(judge(lambda _: said), WordEmbedder(), metrics=[n for n in METRICS if n != "exact_match"]).score(
        [answer()]
    )
    assert [score.value for score in scores] == [None] * 6
    assert all("not the JSON" in str(score.reason) for score in scores)


def test_a_verdict_outside_of_its_scale_is_unscored() -> None:
    wild = judge(lambda _: json.dumps({"reason": "r", "verdict": 7}))
    scores = Ragas(wild, metrics=["harmlessness"]).score([answer()])
    assert (scores[0].value, scores[0].reason) == (None, "the scorer gave -6; scores go from 0 to 1")


def test_the_last_json_counts_so_that_a_quoted_reply_does_not() -> None:
    quoting = judge(lambda _: 'The reply says {"reason": "r", "value": "good"}. So: {"reason": "no", "value": "bad"}')
    assert Ragas(quoting, metrics=["helpfulness"]).score([answer()])[0].value == 0.0


def test_one_failure_does_not_touch_the_other_answers() -> None:
    def moody(text: str) -> str:
        if "London" in text:
            raise RuntimeError("the server is gone")
        return knowing(text)

    scores = Ragas(judge(moody), metrics=["helpfulness"]).score([answer(), answer(reply="I do not know.")])
    assert [score.value for score in scores] == [None, 0.5]
    assert "the server is gone" in str(scores[0].reason)


def test_many_answers_may_be_asked_at_once_and_keep_their_order() -> None:
    class Slow:
        async def ainvoke(self, conversation: Any) -> Any:
            import asyncio

            text = conversation[0][1]
            await asyncio.sleep(0.02 if "reply 0" in text else 0)
            value = "bad" if "reply 0" in text else "good"
            return type("Said", (), {"text": json.dumps({"reason": "r", "value": value})})

    answers = [answer(reply=f"reply {n}") for n in range(5)]
    scores = Ragas(Slow(), metrics=["helpfulness"], at_once=5).score(answers)
    assert [score.value for score in scores] == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert mean(scores) == {"ragas:helpfulness": (0.8, 5, 5)}


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric 'toxicity'"):
        Ragas(metrics=["toxicity"])


def test_nobody_is_told_that_ragas_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAGAS_DO_NOT_TRACK", raising=False)
    Ragas(judge(knowing), metrics=["helpfulness"]).score([answer()])
    from ragas import _analytics

    assert _analytics.do_not_track()


def test_a_tiny_random_model_as_the_judge_gives_reasons_and_no_crash(tmp_path: Path) -> None:
    from sharpen.models.transformers_engine import TransformersEngine

    seen: list[str] = []
    Ragas(judge(lambda text: seen.append(text) or "no"), metrics=["helpfulness", "harmlessness"]).score([answer()])
    # A tokenizer that knows these prompts keeps them within the tiny model's context.
    base = tiny_model(tmp_path / "tiny", texts=seen * 20)
    engine = TransformersEngine.open(parse({"base": str(base), "home": str(tmp_path)}))
    engine.load("ver_0", None)
    model = EngineChatModel(engine=engine, version_id="ver_0", max_new_tokens=16)
    scores = Ragas(model, metrics=["helpfulness", "harmlessness"]).score([answer()])
    engine.close()
    assert [score.value for score in scores] == [None, None]
    assert all("not the JSON" in str(score.reason) for score in scores)
