"""The arithmetic stays small beside the answers: 10,000 cases, four versions, five scorers, on two cores."""

from __future__ import annotations

import pytest

from sharpen.promotion.rehearsal.bulk import ARMS, SCORERS, cost, decision

CASES, SECONDS, BYTES = 10_000, 5.0, 1e9


@pytest.mark.parametrize("attempt", [1, 20])
def test_a_decision_on_ten_thousand_cases_takes_seconds_and_megabytes(attempt: int) -> None:
    assert (len(ARMS), len(SCORERS)) == (4, 5)
    found = cost(decision(CASES, attempt=attempt))
    print(
        f"\n{found.comparisons} comparisons: {found.seconds:.1f} s of processor time, {found.peak_bytes / 1e6:.0f} MB"
    )
    assert found.comparisons > 10
    assert found.seconds < SECONDS
    assert found.peak_bytes < BYTES
