"""What the pages say was measured is what was measured, and what was promised holds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.critique.methods import METHODS

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def told(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["critique", "prefix", "knowledge"])
def test_the_page_shows_what_was_measured(name: str) -> None:
    spec = importlib.util.spec_from_file_location("make_measured", ROOT / "docs" / "make_measured.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page, text = module.filled(name)
    assert page.read_text(encoding="utf-8") == text, "run: make docs"


def test_every_method_was_measured_on_the_same_drafts_of_every_suite() -> None:
    measured = told("critique")
    suites = [one["suite"] for one in measured["methods"][0]["suites"]]
    assert [row["name"] for row in measured["methods"]] == list(METHODS)
    assert {"chain_sum", "letter_counting"} <= set(suites)
    assert all([one["suite"] for one in row["suites"]] == suites for row in measured["methods"])
    assert len({json.dumps(row["draft"]) for row in measured["methods"]}) == 1
    assert all(row["most_tokens"] <= measured["tokens_per_case"] for row in measured["methods"])
    assert measured["gap"][-1]["suite"] == "all"
    assert measured["commit"] and measured["machine"]["cpu"]


def test_what_was_promised_of_prefixes_and_recall_was_kept() -> None:
    prefix, recall = told("prefix"), told("recall")
    assert prefix["ratio"] >= prefix["promised_ratio"] == 2.3
    assert prefix["equal_answers"] is True and len(prefix["prompt_tokens"]) == 4
    assert recall["p95_s"] < recall["promised_p95_s"] == 0.05
    assert recall["recall_at_10"] >= 0.95 and recall["hnswlib_recall_at_10"] >= 0.95
    assert (recall["rows"], recall["dimension"]) == (100_000, 384)
