"""The ablation of the knowledge graph is fair: the same questions, the same budget, nothing decided beforehand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from sharpen.benchmarks.knowledge import DATA, Question, _chosen, _said, compare, fill, load, measure
from sharpen.config import Config
from sharpen.memory.facts import named
from sharpen.memory.knowledge import Knowledge
from sharpen.models.engine import Request
from sharpen.records import Memory
from sharpen.store import Store
from sharpen.testing import ScriptedEngine


def count(text: str) -> int:
    return len(text.split())


def reader(request: Request, version: str) -> str:
    """Answer as a perfect reader of its prompt would: with the answer if it stands there, else with nothing."""
    asked = request.messages[-1].content
    _, questions = load()
    (question,) = [one for one in questions if asked.endswith(one.text)]
    return question.answer if named(question.answer) in named(asked.removesuffix(question.text)) else "unknown"


def test_the_questions_are_different_and_join_documents_that_are_there() -> None:
    documents, questions = load()
    known = {document["id"]: " ".join(document["sentences"]) for document in documents}
    assert len(questions) >= 60
    assert len({question.text for question in questions}) == len(questions)
    assert max(Counter(question.documents[-1] for question in questions).values()) <= 4
    for question in questions:
        assert len(question.documents) == len(set(question.documents)) == 2, question
        assert len(set(question.choices)) == 4
        assert any(named(question.answer) in named(known[name]) for name in question.documents), question
        assert named(question.answer) not in named(question.text)


def test_every_statement_passes_the_validation(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    store = Store.open(config.store_url)
    knowledge = Knowledge.of(config, store)
    documents, _ = load()
    fill(store, knowledge, documents)
    kept = len(store.find(Memory, subjects=["fact"]))
    knowledge.close()
    store.close()
    assert kept == sum(len(document["facts"]) for document in documents)


def test_both_arms_keep_to_the_budget_and_a_perfect_reader_is_scored_as_one(tmp_path: Path) -> None:
    engine = ScriptedEngine(reader)
    engine.load("base", None)
    figures = compare(engine, count, tmp_path, [90])
    (row,) = figures["budgets"]
    assert figures["no_notes"]["exact"]["value"] == 0.0
    for arm in ("recall", "recall_and_graph"):
        said = row[arm]
        assert said["exact"]["value"] == pytest.approx(said["answer_in_prompt_share"], abs=0.001)
        assert said["prompt_tokens"] <= 90 + 30
    gain = row["recall_and_graph"]["exact"]["value"] - row["recall"]["exact"]["value"]
    assert row["gain_exact"]["value"] == pytest.approx(gain)
    assert row["gain_exact"]["low"] <= gain <= row["gain_exact"]["high"]
    json.dumps(figures)


def test_a_random_model_is_measured_from_end_to_end(tiny_base: Path) -> None:
    figures = measure(str(tiny_base), [160])
    (row,) = figures["budgets"]
    assert row["recall"]["exact"]["value"] == row["recall_and_graph"]["exact"]["value"] == 0.0
    assert row["p_exact"] == 1.0
    assert row["recall"]["prompt_tokens"] > 0


def test_a_model_without_a_preference_is_never_right_by_the_place_of_the_answer() -> None:
    assert _chosen(Question("q", ("ab", "cd", "ef", "gh"), ()), [-2.0] * 4) == 3
    assert _chosen(Question("q", ("abcd", "cd", "ef", "gh"), ()), [-3.0, -2.0, -2.0, -2.0]) == 0


def test_a_form_of_the_answer_is_the_answer() -> None:
    assert _said(" The Lantern  Prize.\n") == _said("lantern prize")
    assert _said("It is the Lantern Prize") != _said("Lantern Prize")


def test_the_data_is_shipped_beside_the_benchmark() -> None:
    assert DATA.parent.parent.name == "benchmarks"
    assert json.loads(DATA.read_text())["about"]
