"""The arithmetic stays small beside the answers: 10,000 cases, four versions, five scorers, on two cores."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from sharpen.config import PromotionSection
from sharpen.promotion.gate import decide
from sharpen.records import Score, Verdict

CASES = 10_000
ARMS = ("challenger", "champion", "in_context", "first")
SCORERS = ("exact", "similarity", "judge", "toxicity", "numeric")
SECONDS, BYTES = 5.0, 1e9


def scores(suite: str, arm: str, values: np.ndarray) -> list[Score]:
    return [
        Score.model_construct(
            id=f"{suite}{arm}{n}", evaluation_id="e", arm=arm, version_id=arm, suite=suite, tier="gate", scorer=suite,
            case_id=f"case {n}", cluster=f"case {n // 2}" if suite == "judge" else f"case {n}", value=float(value),
            reason=None, reply=None, groups=(f"g={n % 4}",) if suite == "exact" else (),
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize("attempt", [1, 20])
def test_a_decision_on_ten_thousand_cases_takes_seconds_and_megabytes(attempt: int) -> None:
    rng = np.random.default_rng(0)
    luck, suites = rng.random(CASES), {}
    for suite in SCORERS:
        suites[suite] = {}
        for number, arm in enumerate(ARMS):
            noise = rng.random(CASES) * 0.3
            values = np.clip(luck * 0.7 + noise + (0.02 if number == 0 else 0.0), 0, 1)
            suites[suite][arm] = scores(suite, arm, (values > 0.5).astype(float) if suite == "exact" else values)
    target = {"exact": suites.pop("exact")}

    def decided() -> Verdict:
        return decide(
            cycle_id="c", champion_id="a", challenger_id="b", first_id="f", targets=target, guards=suites,
            attempt=attempt, settings=PromotionSection(),
        )  # fmt: skip

    started = time.process_time()
    found = decided()
    seconds = time.process_time() - started
    tracemalloc.start()
    decided()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"\n{len(found.comparisons)} comparisons: {seconds:.1f} s of processor time, {peak / 1e6:.0f} MB")
    assert found.comparisons
    assert seconds < SECONDS
    assert peak < BYTES
