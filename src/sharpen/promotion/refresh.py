"""Fresh gate cases: a generator's are drawn anew, a share of them each cycle.

In: a drawn suite, a way to draw more, which cycle it is. Out: the suite with this cycle's gate tier. Must not know
models or scores.

A champion was chosen for doing well on the cases there were, so on these the next challenger looks worse than it is.
Fresh cases know nothing of that. Files hold what they hold: their gate tier is renewed by adding cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sharpen.records import Case, content_hash
from sharpen.verify.suites import Suite

STRIDE = 1_000_003  # chosen: generators seed each item by seed + place; draws this far apart share none


def renewed(suite: Suite, draw: Callable[[int], Suite], *, share: float, cycle: int, seed: int) -> Suite:
    """Return the suite as cycle `cycle` (from 1) asks it; `draw` gives another suite for another seed.

    The first cycle asks the suite itself. Answers are graded by the draw that they belong to.
    """
    if share == 0 or cycle <= 1:
        return suite
    draws = [draw(seed + number * STRIDE) for number in range(1, math.ceil(share * (cycle - 1)) + 2)]
    gate = window(suite.tier("gate"), (case for one in draws for case in one.tier("gate")), share, cycle - 1, seed)
    others = tuple(case for case in suite.cases if case.tier != "gate")

    def grade(case: Case, reply: str) -> tuple[float | None, str | None]:
        home = next((one for one in (suite, *draws) if one.find(case.messages)), suite)
        return home.score(case, reply)

    return replace(suite, cases=(*others, *gate), grader=grade)


def window(kept: Sequence[Case], drawn: Iterable[Case], share: float, steps: int, seed: int) -> tuple[Case, ...]:
    """Return as many cases as `kept` holds: after each step a share of them is new, and the oldest are gone.

    `kept` is the first tier, `drawn` the supply in a fixed order; the result depends on nothing else, so that a step
    that is repeated draws the same. Where the supply ends, the last cases stay.
    """
    first = sorted(kept, key=lambda case: content_hash([seed, case.id]))
    row = list({case.id: case for case in (*first, *drawn)}.values())
    start = min(round(share * len(kept) * steps), len(row) - len(kept))
    return tuple(row[start : start + len(kept)])
