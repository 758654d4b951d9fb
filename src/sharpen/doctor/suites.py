"""Whether the suites are large enough for the gate to decide on.

In: a configuration. Out: findings. Must not know models.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.config import Config
from sharpen.doctor.finding import Finding
from sharpen.doctor.power import tested
from sharpen.errors import SharpenError
from sharpen.promotion.gate import MIN_CLUSTERS
from sharpen.stats import paired_difference, spend
from sharpen.verify.cases import TIERS
from sharpen.verify.suites import Suite, load_suite

_MOST_CASES = 5000  # chosen: where the search for a guard's size gives up


def check_suites(config: Config) -> Iterator[Finding]:
    """Load the target and the guards, and weigh their sizes."""
    settings = config.evaluation
    if not settings.suite:
        yield Finding(
            "suite", "fail", "not set: nothing says what better means", '[evaluation] suite = "my-cases.jsonl"'
        )
    if not settings.guards:
        yield Finding(
            "guards", "note", "none: a loss on anything but the target goes unseen", "[evaluation] guards = […]"
        )
    named = [("suite", settings.suite)] if settings.suite else []
    for name, spec in [*named, *(("guard", spec) for spec in settings.guards)]:
        try:
            suite = load_suite(spec, seed=config.seed, size=settings.size, data=settings.data_folder)
        except SharpenError as error:
            yield Finding(name, "fail", error.what, error.next_step)
            continue
        yield _sized(config, name, suite)


def _sized(config: Config, name: str, suite: Suite) -> Finding:
    """Tell whether the gate can decide on a suite of this size."""
    counts = {tier: len(suite.tier(tier)) for tier in TIERS}
    told = f"{suite.name}: {', '.join(f'{count} {tier}' for tier, count in counts.items())}"
    clusters = [case.cluster for case in suite.tier("gate")]
    if len(set(clusters)) < MIN_CLUSTERS:
        fault = f"; the gate needs {MIN_CLUSTERS} independent gate cases or more, and will always hold"
        return Finding(name, "fail", told + fault, f"add cases to {suite.name}")
    if name == "suite":
        no_training = "; no training case: a cycle can learn from corrections only"
        return Finding(name, "ok" if counts["train"] else "note", told + ("" if counts["train"] else no_training))
    own = config.promotion.margins.get(suite.name, config.promotion.guard_margin)
    margin, reach = 100 * own, _reach(config, clusters)
    if reach < own:
        return Finding(name, "ok", f"{told}; can exclude a loss of {margin:g} points")
    fault = f"; too few: even if no answer changes, a loss of {100 * reach:.1f} points cannot be excluded"
    sizes = range(len(clusters), _MOST_CASES, 10)
    enough = next((n for n in sizes if _reach(config, list(range(n))) < own), _MOST_CASES)
    step = f"add gate cases: about {enough} exclude a loss of {margin:g} points; or raise [promotion] guard_margin"
    return Finding(name, "note", told + fault, step)


def _reach(config: Config, clusters: list[str] | list[int]) -> float:
    """Return the loss that the gate's interval would still reach if challenger and champion answered alike."""
    alike = [1.0] * len(clusters)
    level = 1 - 2 * spend(config.promotion.alpha, tested(config) + 1)
    return -paired_difference(alike, alike, clusters, level=level, resamples=config.promotion.resamples).low
