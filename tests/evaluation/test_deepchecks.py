"""Deepchecks, in its own environment and process; what happens around it is tested with a program that stands there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import BoundaryError, MissingExtra
from sharpen.evaluation import deepchecks
from sharpen.evaluation.deepchecks import Batch, look, of_answers, of_snapshot
from sharpen.evaluation.opinions import training_sets
from sharpen.evaluation.outside import Answer, Place
from sharpen.install import RECIPES, environment
from sharpen.records import Example, Message, ModelVersion, Score, Snapshot, TrainingRun, Verdict, content_hash
from sharpen.store import Store

PLACE = Place("evl_1", "challenger", "ver_1", "inbox", "gate", "all", "all")
LABELS = ("billing", "sales", "returns")


def batch(*texts: str, labels: tuple[str, ...] = ()) -> Batch:
    return Batch(PLACE, texts, labels or tuple(LABELS[at % 3] for at in range(len(texts))))


DISTINCT = batch(*(f"question number {n} about {'x' * (n % 7)}" for n in range(60)))
LONGER = batch(*(f"question number {n} about {'x' * (n % 7)} and a good deal more of the same" for n in range(60)))
REPEATED = batch(*(["the same text"] * 30 + [f"text {n}" for n in range(30)]), labels=("billing",) * 60)


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {score.scorer.removeprefix("deepchecks:"): score for score in scores}


@pytest.mark.slow
def test_duplicates_are_found_and_distinct_texts_are_not() -> None:
    clean, repeated = by_name(look(DISTINCT)), by_name(look(REPEATED))
    assert (clean["text_duplicates"].value, clean["data_duplicates"].value) == (1.0, 1.0)
    assert repeated["text_duplicates"].value == pytest.approx(1 - 29 / 60)
    assert repeated["data_duplicates"].value == pytest.approx(1 - 29 / 60)
    assert clean.keys() == {"text_duplicates", "data_duplicates"}


@pytest.mark.slow
def test_longer_texts_drift_and_the_same_ones_do_not() -> None:
    same, longer = by_name(look(DISTINCT, DISTINCT)), by_name(look(LONGER, DISTINCT))
    assert same["property_drift:characters"].value == pytest.approx(1.0)
    assert same["label_drift"].value == pytest.approx(1.0)
    assert longer["property_drift:words"].value == pytest.approx(0.0)
    assert longer["label_drift"].value == pytest.approx(1.0)
    assert by_name(look(REPEATED, DISTINCT))["label_drift"].value < 0.7


@pytest.mark.slow
def test_the_environment_is_its_own_and_ours_does_not_have_deepchecks() -> None:
    python = environment("deepchecks") / "bin" / "python"
    code = "import numpy, deepchecks; print(numpy.__version__, deepchecks.__version__)"
    said = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[0].startswith("1.") and said[1] == "0.19.1"
    with pytest.raises(ModuleNotFoundError):
        __import__("deepchecks")


def test_without_its_environment_the_error_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingExtra, match="sharpen install deepchecks"):
        look(DISTINCT)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a program in Deepchecks' place that reads the job, keeps it, and answers what it is told to."""
    folder = tmp_path / "sharpen" / "parts" / "deepchecks"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    recipe = RECIPES["deepchecks"]
    (folder / ".sharpen-recipe").write_text(content_hash([recipe.tool, recipe.what]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    child, job = tmp_path / "child.py", tmp_path / "job.json"
    monkeypatch.setattr(deepchecks, "_CHILD", child)

    def answer(line: str) -> Path:
        child.write_text(f"import sys\nopen({str(job)!r}, 'w').write(sys.stdin.read())\n{line}\n")
        return job

    return answer


def test_a_share_of_duplicates_becomes_a_score_of_the_whole_batch(program: Any) -> None:
    job = program("""print('{"text_duplicates": {"value": 0.25, "reason": null}}')""")
    scores = by_name(look(batch("a b", "a b", "c")))
    assert scores["text_duplicates"].value == 0.75
    assert scores["data_duplicates"].reason == "Deepchecks gave no value"
    assert scores["text_duplicates"].evaluation_id == "evl_1_deepchecks"
    told = json.loads(job.read_text())
    assert told["reference"] is None
    assert told["current"] == {
        "texts": ["a b", "a b", "c"],
        "labels": list(LABELS),
        "properties": {"characters": [3, 3, 1], "words": [2, 2, 1], "word_length": [1, 1, 1]},
    }


def test_a_check_that_fails_or_has_too_little_to_go_on_is_unscored_with_the_reason(program: Any) -> None:
    found = {"text_duplicates": {"value": None, "reason": "ValueError: no"}, "label_drift": {"value": 0}}
    program(f"print({json.dumps(found)!r})")
    few = by_name(look(batch("a", "b", "c"), DISTINCT))
    assert (few["text_duplicates"].value, few["text_duplicates"].reason) == (None, "ValueError: no")
    assert few["label_drift"].reason == "drift needs 20 texts on both sides; there are 3"
    free = batch(*DISTINCT.texts, labels=DISTINCT.texts)
    assert by_name(look(free, DISTINCT))["label_drift"].reason == "63 distinct labels are no classes"
    assert {score.reason for score in look(batch())} == {"there are no texts"}


@pytest.mark.parametrize("line", ["sys.exit('it broke')", "print('noise')", "print('[1]')"])
def test_a_program_that_fails_is_an_error_of_the_boundary(program: Any, line: str) -> None:
    program(line)
    with pytest.raises(BoundaryError, match="Deepchecks failed"):
        look(DISTINCT)


def test_snapshots_and_answers_become_batches() -> None:
    turn = Message(role="user", content="Where is my parcel?")
    named = {"id": "exa_1", "cycle_id": "c", "origin": "correction", "evidence": ("fbk_1",)}
    example = Example(messages=(turn,), chosen="returns", **named)
    snapshot = Snapshot(id="snp_1", cycle_id="c", example_ids=("exa_1",), counts={}, dropped={})
    of_one = of_snapshot(snapshot, [example], "ver_1")
    assert (of_one.texts, of_one.labels, of_one.place.case_id) == (("Where is my parcel?",), ("returns",), "snp_1")
    answers = [Answer(PLACE, (turn,), reply) for reply in (" billing\n", None, "sales")]
    of_two = of_answers(answers)
    assert (of_two.texts, of_two.labels) == ((" billing\n", "sales"), ("billing", "sales"))
    assert (of_two.place.suite, of_two.place.arm) == ("inbox", "challenger")


def test_what_the_challenger_learned_from_is_compared_with_the_champions_set(program: Any, sqlite_store: Store) -> None:
    def learned(version: str, *answers: str) -> None:
        turn = Message(role="user", content="Where is my parcel?")
        evidence: Any = {"cycle_id": version, "origin": "correction", "evidence": ("fbk_1",)}
        examples = [
            Example(id=f"exa_{version}{n}", messages=(turn,), chosen=answer, **evidence)
            for n, answer in enumerate(answers)
        ]
        names = tuple(one.id for one in examples)
        snapshot = Snapshot(id=f"snp_{version}", cycle_id=version, example_ids=names, counts={}, dropped={})
        run = TrainingRun(
            id=f"run_{version}", snapshot_id=snapshot.id, method="sft", recipe={}, seed=0, adapter_digest="a",
            seconds=1.0, model_seconds=1.0,
        )  # fmt: skip
        made = ModelVersion(
            id=version, base="b", base_digest="d", template_digest="t", run_id=run.id, adapter_digest="a"
        )
        sqlite_store.append(*examples, snapshot, run, made)

    sqlite_store.append(ModelVersion(id="ver_0", base="b", base_digest="d", template_digest="t"))
    learned("ver_1", "returns", "billing")
    learned("ver_2", "returns", "returns", "sales")
    job = program("""print('{"data_duplicates": {"value": 0.5}}')""")

    def said(champion: str, challenger: str) -> dict[str, Score]:
        verdict = Verdict(
            id="vdt_1", cycle_id="c", champion_id=champion, challenger_id=challenger, decision="hold", reason="Few.",
            comparisons=(), alpha_spent=0.0, attempt=1,
        )  # fmt: skip
        return by_name(training_sets(sqlite_store, verdict, "evl_1"))

    found = said("ver_1", "ver_2")
    assert (found["data_duplicates"].value, found["data_duplicates"].suite) == (0.5, "snp_ver_2")
    assert {one.evaluation_id for one in found.values()} == {"evl_1_deepchecks"}
    assert "label_drift" in found
    told = json.loads(job.read_text())
    assert told["current"]["labels"] == ["returns", "returns", "sales"]
    assert told["reference"]["labels"] == ["returns", "billing"]
    assert said("ver_0", "ver_1").keys() == {"text_duplicates", "data_duplicates"}, "the bare base learned nothing"
    assert said("ver_1", "ver_0") == {}
