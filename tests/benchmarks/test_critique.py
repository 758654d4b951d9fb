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
    rows = bench.compare(benched(tmp_path, Counting()), [sums()])["methods"]
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

    found = bench.compare(benched(tmp_path, Counting(misled)), [sums()])["methods"]
    rows: dict[str, Any] = {str(row["name"]): row for row in found}
    assert rows["self_refine"]["draft"]["score"] == 1.0
    assert rows["self_refine"]["gain"]["difference"] == -1.0
    assert (rows["self_refine"]["worse_share"], rows["cot"]["worse_share"]) == (1.0, 1.0)
    assert rows["refine"]["worse_share"] == 0.0


def test_a_method_s_figures_are_over_all_suites_and_on_each(tmp_path: Path) -> None:
    other = Suite("others", (sum_case("What is 3 + 1?"),), scorer="numeric")
    row: Any = bench.compare(benched(tmp_path, Counting()), [sums(), other])["methods"][1]
    assert (row["name"], row["draft"]["n"]) == ("cot", 3)
    assert [(one["suite"], one["draft"]["n"]) for one in row["suites"]] == [("sums", 2), ("others", 1)]
    assert row["tokens"] == sum(one["tokens"] for one in row["suites"])


def test_the_gap_is_measured_on_the_same_drafts_and_the_judge_sees_no_verifier(tmp_path: Path) -> None:
    def half_right(request: Any, version: str) -> str:
        asked = request.messages[-1].content
        return "4" if asked == "What is 1 + 3?" else expert(request, version)

    other = Suite("others", (sum_case("What is 3 + 1?"),), scorer="numeric")
    on_sums, on_others, on_all = bench.compare(benched(tmp_path, Counting(half_right)), [sums(), other])["gap"]
    assert (on_sums["suite"], on_others["suite"], on_all["suite"]) == ("sums", "others", "all")
    assert on_sums["accuracy"]["value"] == 0.5  # type: ignore[index]
    assert on_all["judging"]["n"] == 3  # type: ignore[index]
    assert not on_all["allows_labels"] and "coin" in str(on_all["verdict"])


def test_what_is_finished_is_not_measured_again(tmp_path: Path) -> None:
    first = bench.compare(benched(tmp_path, Counting()), [sums()])
    silent = Counting()
    assert bench.compare(benched(tmp_path, silent), [sums()]) == first
    assert silent.asked == []
    half = next(tmp_path.glob("sums/cot-*.json"))
    half.unlink()
    again = Counting()
    assert [row["name"] for row in bench.compare(benched(tmp_path, again), [sums()])["methods"]] == list(METHODS)
    assert half.exists() and again.asked
    other = Counting()
    bench.compare(benched(tmp_path, other, tokens=300), [sums()])
    assert other.asked, "another budget is another measurement"


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """A kill after the third step: what was kept then is kept, and the end is the same."""
    straight = bench.compare(benched(tmp_path / "straight", Counting()), [sums()])

    def dies(name: str, done: int, total: int) -> None:
        assert total == len(METHODS) + 1
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.compare(benched(tmp_path / "again", Counting()), [sums()], dies)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").rglob("*.json")}
    assert {path.name.partition("-")[0] for path in kept} == {"drafts", "judge", "refine", "cot"}
    again = bench.compare(benched(tmp_path / "again", Counting()), [sums()])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert timeless(again) == timeless(straight)


def timeless(found: Any) -> Any:
    rows = json.loads(json.dumps(found))
    for row in rows["methods"]:
        for one in (row, *row["suites"]):
            one["seconds"] = 0
    return rows


def test_no_method_writes_more_than_its_tokens(tmp_path: Path) -> None:
    rows = bench.compare(benched(tmp_path, Counting(), tokens=9), [sums()])["methods"]
    assert all(int(str(row["most_tokens"])) <= 9 for row in rows)


def test_it_runs_from_end_to_end_on_a_tiny_model(tmp_path: Path, tiny_base: Path) -> None:
    spec = "reasoning-gym:chain_sum?min_terms=2&max_terms=2"
    figures = bench.measure(str(tiny_base), cases=2, tokens=24, folder=tmp_path, specs=[spec])
    told = json.loads(json.dumps(figures))
    assert {row["name"] for row in told["methods"]} == set(METHODS)
    for row in told["methods"]:
        assert {"name", "draft", "revision", "tokens", "better_share", "worse_share"} <= set(row)
        assert set(row["draft"]) == {"score", "low", "high", "n"}
        assert row["most_tokens"] <= 24
    assert [one["suite"] for one in told["gap"]] == ["chain_sum"]
    assert told["machine"]["cores"] and "commit" in told


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
