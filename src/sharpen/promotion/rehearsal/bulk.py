"""A decision of any size on made-up scores: what the gate's own arithmetic costs.

In: how many cases. Out: a decision to call, and what calling it took. Must not know what it is held against.

Four versions on five suites, each graded by a scorer of its own: one right or wrong with four groups, one in clusters
of two, the others smooth.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sharpen.config import PromotionSection
from sharpen.promotion.gate import decide
from sharpen.records import Score, Verdict
from sharpen.stats import Floats

ARMS = ("challenger", "champion", "in_context", "first")
SCORERS = ("exact", "similarity", "judge", "toxicity", "numeric")


@dataclass(frozen=True)
class Cost:
    """What one decision took: processor seconds, and the most memory that it held."""

    seconds: float
    peak_bytes: int
    comparisons: int


def decision(cases: int, *, attempt: int = 1, seed: int = 0) -> Callable[[], Verdict]:
    """Return the decision on `cases` cases of each suite, its scores at hand."""
    rng = np.random.default_rng(seed)
    luck = rng.random(cases)
    suites: dict[str, dict[str, list[Score]]] = {}
    for suite in SCORERS:
        suites[suite] = {}
        for number, arm in enumerate(ARMS):
            values = np.clip(luck * 0.7 + rng.random(cases) * 0.3 + (0.02 if number == 0 else 0.0), 0, 1)
            suites[suite][arm] = _scores(suite, arm, (values > 0.5).astype(float) if suite == "exact" else values)
    target = {"exact": suites.pop("exact")}

    def decided() -> Verdict:
        return decide(
            cycle_id="c", champion_id="a", challenger_id="b", first_id="f", targets=target, guards=suites,
            attempt=attempt, settings=PromotionSection(),
        )  # fmt: skip

    return decided


def cost(decided: Callable[[], Verdict]) -> Cost:
    """Return what a decision takes; memory is measured in a second run, for watching it takes time."""
    started = time.process_time()
    comparisons = len(decided().comparisons)
    seconds = time.process_time() - started
    tracemalloc.start()
    decided()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Cost(seconds, peak, comparisons)


def _scores(suite: str, arm: str, values: Floats) -> list[Score]:
    return [
        Score.model_construct(
            id=f"{suite}{arm}{n}", evaluation_id="e", arm=arm, version_id=arm, suite=suite, tier="gate", scorer=suite,
            case_id=f"case {n}", cluster=f"case {n // 2}" if suite == "judge" else f"case {n}", value=float(value),
            reason=None, reply=None, groups=(f"g={n % 4}",) if suite == "exact" else (),
        )
        for n, value in enumerate(values)
    ]  # fmt: skip
