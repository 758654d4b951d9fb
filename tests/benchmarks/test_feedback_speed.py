from __future__ import annotations

from typing import Any

from sharpen.benchmarks import feedback


def test_feedback_is_counted_on_disk_through_a_kill_and_a_burst() -> None:
    told: Any = feedback.measure(seconds=1.0, kills=1, burst_s=0.5, per_s=100)
    assert told["lost"] == 0
    assert told["statuses"] == {200: 100}
    assert 0 < told["p50_s"] <= told["p99_s"]
    assert sum(told["burst"]["statuses"].values()) == 2500
    assert set(told["burst"]["statuses"]) <= {200, 429}
    assert told["kills"]["acknowledged"] > 0


def test_a_piece_that_is_not_there_counts_as_lost(tmp_path: Any) -> None:
    assert feedback.Place(tmp_path).lost(["never said"]) == 1
