from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.critique.sums import RIGHT, SUMS, Counting, expert, sum_case

from sharpen.benchmarks import critique as bench
from sharpen.config import parse
from sharpen.critique.methods import METHODS
from sharpen.verify.suites import Suite


def benched(folder: Path, engine: Any, tokens: int = 400) -> bench.Bench:
    config = parse({"pace": "demo", "critique": {"max_tokens": tokens, "rounds": 2, "samples": 2}})
    engine.load(bench.VERSION, None)
    return bench.Bench(engine, config, folder, 2, tokens)


def sums() -> Suite:
    return Suite("sums", (sum_case(), sum_case("What is 1 + 3?")), scorer="numeric")


def test_every_method_is_compared_on_the_same_drafts(tmp_path: Path) -> None:
    rows = list(bench.compare(benched(tmp_path, Counting()), [sums()]))
    assert [row["name"] for row in rows] == list(METHODS)
    assert all(row["draft"] == {"score": 0.0, "low": 0.0, "high": 0.6576, "n": 2} for row in rows)
    better = {str(row["name"]): row["better_share"] for row in rows}
    assert better == dict.fromkeys(METHODS, 1.0) | {"refine": 0.0}  # nothing is remembered here, so it finds nothing
    assert {row["worse_share"] for row in rows} == {0.0}
    assert [row["name"] for row in rows if row["uses_verifier"]] == ["refine"]


def test_answers_that_become_worse_are_counted(tmp_path: Path) -> None:
    def misled(request: Any, version: str) -> str:
        said = expert(request, version)
        return {"5": "4", "4": "5"}.get(said, said.replace("4", "5")) if "List" not in str(request) else "- high: bad"

    rows = {row["name"]: row for row in bench.compare(benched(tmp_path, Counting(misled)), [sums()])}
    assert rows["self_refine"]["draft"]["score"] == 1.0  # type: ignore[index]
    assert (rows["self_refine"]["worse_share"], rows["cot"]["worse_share"]) == (1.0, 1.0)
    assert rows["refine"]["worse_share"] == 0.0


def test_what_is_finished_is_not_measured_again(tmp_path: Path) -> None:
    first = list(bench.compare(benched(tmp_path, Counting()), [sums()]))
    silent = Counting()
    assert list(bench.compare(benched(tmp_path, silent), [sums()])) == first
    assert silent.asked == []
    half = next(tmp_path.glob("sums/cot-*.json"))
    half.unlink()
    again = Counting()
    assert [row["name"] for row in bench.compare(benched(tmp_path, again), [sums()])] == list(METHODS)
    assert half.exists() and again.asked
    other = Counting()
    list(bench.compare(benched(tmp_path, other, tokens=300), [sums()]))
    assert other.asked, "another budget is another measurement"


def test_no_method_writes_more_than_its_tokens(tmp_path: Path) -> None:
    rows = list(bench.compare(benched(tmp_path, Counting(), tokens=9), [sums()]))
    assert all(int(str(row["tokens"])) <= 2 * 9 for row in rows)


def test_it_runs_from_end_to_end_on_a_tiny_model(tmp_path: Path, tiny_base: Path) -> None:
    spec = "reasoning-gym:chain_sum?min_terms=2&max_terms=2"
    figures = bench.measure(str(tiny_base), cases=2, tokens=24, folder=tmp_path, specs=[spec])
    rows = json.loads(json.dumps(figures))["methods"]
    assert {row["name"] for row in rows} == set(METHODS)
    for row in rows:
        assert {"name", "suite", "draft", "revision", "tokens", "better_share", "worse_share"} <= set(row)
        assert set(row["draft"]) == {"score", "low", "high", "n"}
        assert row["tokens"] <= 2 * 24


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("AddSub", 300), ("SVAMP", 900)])
def test_the_public_word_problems_are_read(name: str, count: int) -> None:
    suite = bench.read_data(name, Path(os.environ["SHARPEN_DATA"]))
    assert len(suite.cases) > count
    assert all(suite.score(case, case.reference) == (1.0, None) for case in suite.cases)


def test_draft_and_revision_are_read_by_one_reader() -> None:
    suite = bench.ReadSuite(SUMS)
    replies = (RIGHT, "It makes 4 apples.", "Answer: 4.", "2 + 2 = 4", "So 5. Answer: 4 apples")
    assert [suite.score(SUMS.cases[0], reply) for reply in replies] == [1.0] * 5
    assert [suite.score(SUMS.cases[0], reply) for reply in ("5", "", "Answer: five")] == [0.0] * 3
