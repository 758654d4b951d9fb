"""Whether the suites can see the effect that the user asks for, told before anything is trained.

In: a configuration. Out: a finding: the joint chance over target and guards, and the cases that would do. Must not know
models.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sharpen.config import Config
from sharpen.config.sections import SQLITE
from sharpen.doctor.finding import Finding
from sharpen.promotion.claims import design
from sharpen.promotion.power import Power, joint_power
from sharpen.records import Verdict
from sharpen.stats import HORIZON
from sharpen.stats.power import POWER
from sharpen.store import Store
from sharpen.verify.suites import load_suite


def check_power(config: Config) -> Iterator[Finding]:
    """Weigh all suites together: a promotion needs every claim, so many small chances of failure add up."""
    settings = config.evaluation
    if not settings.suite:
        return
    suites = [
        load_suite(spec, seed=config.seed, size=settings.size, data=settings.data_folder)
        for spec in (settings.suite, *settings.guards)
    ]
    target, *guards = [design(suite.name, suite.tier("gate")) for suite in suites]
    attempt = tested(config) + 1
    last = max(attempt, HORIZON)
    now, then = (joint_power([target], guards, config.promotion, attempt=number) for number in (attempt, last))
    gain = 100 * config.promotion.effect
    told = (
        f"a challenger that gains {gain:g} points and loses nothing is promoted with chance {now.joint:.2f} in attempt "
        f"{attempt}, {then.joint:.2f} in attempt {last}"
    )
    if then.unarmed:
        told += f"; unarmed, too few cases for their margin: {', '.join(then.unarmed)}"
    is_enough = then.joint >= POWER and not then.unarmed
    yield Finding("power", "ok" if is_enough else "note", told, _advice(then))


def tested(config: Config) -> int:
    """Return how many decisions of this deployment spent alpha."""
    path = Path(config.store_url.removeprefix(SQLITE))
    if config.store_url.startswith(SQLITE) and not path.exists():
        return 0
    with contextlib.closing(Store.open(config.store_url)) as store:
        return sum(verdict.alpha_spent > 0 for verdict in store.find(Verdict))


def _advice(power: Power) -> str:
    needed = {name: count for name, count in power.needed.items() if count is not None}
    if len(needed) < len(power.needed):
        return "[promotion] min_effect is not below effect: no number of cases would do"
    cases = ", ".join(f"{count:,} of {name}" for name, count in needed.items())
    return f"gate cases for {POWER:g}: {cases}; or set a larger [promotion] effect, or wider margins"
