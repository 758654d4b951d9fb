from __future__ import annotations

from sharpen.benchmarks.recall import measure


def test_recall_is_measured_against_exact_search_and_bare_hnswlib() -> None:
    figures = measure(rows=1_500, queries=30)
    assert {"p95_s", "ratio", "recall_at_10", "hnswlib_recall_at_10", "machine"} <= set(figures)
    assert 0.95 <= float(str(figures["recall_at_10"])) <= 1
    assert float(str(figures["hnswlib_recall_at_10"])) >= float(str(figures["recall_at_10"])) - 0.02
    assert float(str(figures["ratio"])) > 0
