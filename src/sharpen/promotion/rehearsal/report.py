"""What the units add up to: the promises of the gate, each with its bound.

In: counts per unit. Out: figures as plain JSON, and the table that the documents show. Must not know how units are run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import betaincinv

from sharpen.promotion.rehearsal import measures
from sharpen.promotion.rehearsal.measures import CYCLES, EFFECTS, SETTINGS, Counts
from sharpen.promotion.rehearsal.regressions import PLANTED

NULLS = (
    "a/a", "a/a in clusters", "a/a with nothing else to pass", "a/a in clusters with nothing else to pass",
    "one guard at its margin",
)  # fmt: skip
SCALES = (0.7, 0.8, 0.9, 1.0)  # of the sequential gate's cases: where the fixed gate's power is measured
CLEAN = "a clean challenger"

Unit = Callable[[int], Counts]


def units() -> dict[str, tuple[Unit, int]]:
    """Return every kind of unit, and how many of it a full run does."""
    found: dict[str, tuple[Unit, int]] = {
        "a/a": (measures.a_a, 50),
        "a/a in clusters": (partial(measures.a_a, is_clustered=True), 50),
        "a/a with nothing else to pass": (measures.a_a_alone, 100),
        "a/a in clusters with nothing else to pass": (partial(measures.a_a_alone, is_clustered=True), 100),
        "one guard at its margin": (measures.at_the_margin, 100),
        "lives": (partial(measures.lives_with_gains, refresh=0.0), 300),
        "lives, refreshed": (partial(measures.lives_with_gains, refresh=SETTINGS.refresh), 300),
        "plain rule, same cases": (partial(measures.plain_rule, is_fresh=False), 20),
        "plain rule, fresh cases": (partial(measures.plain_rule, is_fresh=True), 20),
    }
    for cycle in CYCLES:
        for effect in EFFECTS:
            name = f"sequential, cycle {cycle}, {effect:g} x"
            found[name] = (partial(measures.cases_used, effect=effect, attempt=cycle), 400)
        for scale in SCALES:
            name = f"fixed, cycle {cycle}, {scale:g} of the cases"
            unit = partial(measures.cases_used, effect=1.0, attempt=cycle, is_whole=True, scale=scale)
            found[name] = (unit, 400)
    for name in (*PLANTED, CLEAN):
        found[f"planted: {name}"] = (partial(measures.planted, name=name), 300)
    return found


def figures(counts: Mapping[str, Counts]) -> dict[str, Any]:
    """Return the figures of a finished run: the five promises, and under "detail" all that they stand on."""
    plain = [counts["plain rule, same cases"], counts["plain rule, fresh cases"]]
    nulls = {name: _rate(counts[name]) for name in NULLS}
    worst = max(nulls.values(), key=lambda one: one["high"])
    ratios = {str(cycle): _ratios(counts, cycle) for cycle in CYCLES}
    mean = float(np.mean([ratios[str(cycle)][f"{effect:g}"] for cycle in CYCLES for effect in (0.0, 1.0, 2.0)]))
    power = _power(counts["lives, refreshed"])
    return {
        "false_promotion": {"rate": worst["rate"], "high": worst["high"]},
        "alpha": SETTINGS.alpha,
        "power": min(power.values()),
        "bias": _bias(counts["lives, refreshed"], "published"),
        "cases_ratio": mean,
        "detail": {
            "effect": SETTINGS.effect,
            "lives": counts["lives"]["lives"],
            "promotions": counts["lives, refreshed"]["promotions"],
            "cases": {one.suite: one.cases for one in measures.designs().values()},
            "false_promotion": nulls,
            "power": power,
            "power_without_refresh": _power(counts["lives"]),
            "bias_without_refresh": _bias(counts["lives"], "published"),
            "bias_of_the_gates_own_number": _bias(counts["lives, refreshed"], "claimed"),
            "plain_rule": {
                name: {"per_promotion": _bias(one, "claimed"), "per_life": _bias(one, "claimed", "lives")}
                for name, one in zip(("same 100 cases", "fresh 100 cases"), plain, strict=True)
            },
            "cases_ratio": ratios,
            "planted": {
                name: {"stopped": counts[f"planted: {name}"]["stopped"], "of": counts[f"planted: {name}"]["attempts"]}
                for name in PLANTED
            },
            "clean_promoted": 1 - counts[f"planted: {CLEAN}"]["stopped"] / counts[f"planted: {CLEAN}"]["attempts"],
        },
    }


def table(shown: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows, detail = [("what", "measured", "promised")], shown["detail"]
    for name, one in detail["false_promotion"].items():
        told = f"{one['rate']:.3f} of {one['lives']:.0f} lives, at most {one['high']:.3f}"
        rows.append((f"lives of 20 cycles with a false promotion: {name}", told, f"≤ {shown['alpha']:g}"))
    for name, key in (
        ("refreshed by a fifth each cycle", "power"),
        ("the same cases for ever", "power_without_refresh"),
    ):
        told = ", ".join(f"{share:.2f}" for share in detail[key].values())
        rows.append((f"power in cycles {', '.join(detail[key])}; {name}", told, "≥ 0.8"))
    rows += [
        ("bias of the published effect, points", f"{100 * shown['bias']:+.2f}", "within ± 0.5"),
        (
            "bias of the gate's own number, points",
            f"{100 * detail['bias_of_the_gates_own_number']:+.2f}",
            "not published",
        ),
    ]
    for name, one in detail["plain_rule"].items():
        told = f"{100 * one['per_promotion']:+.1f} per promotion, {100 * one['per_life']:+.1f} per life"
        rows.append((f'bias of a plain "better on 100 cases" rule, points: {name}', told, "none"))
    effects = [f"{effect:g}" for effect in EFFECTS]
    for cycle, one in detail["cases_ratio"].items():
        told = ", ".join(f"{one[effect]:.2f}" for effect in effects)
        rows.append((f"cases ÷ fixed n of equal power, cycle {cycle}, at {' '.join(effects)} x the effect", told, ""))
    rows.append(("the same, mean over 0, 1 and 2 x", f"{shown['cases_ratio']:.2f}", "≤ 0.75"))
    for name, one in detail["planted"].items():
        rows.append((f"planted: {name}", f"{one['stopped']:.0f} of {one['of']:.0f} stopped", "≥ 95 %"))
    rows.append(("a clean challenger at the declared effect", f"{detail['clean_promoted']:.0%} promoted", "≥ 80 %"))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---|---|---|", *lines[1:]])


def add(parts: list[Counts]) -> Counts:
    """Add counts up, key by key."""
    total: Counts = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total


def upper(count: float, trials: float) -> float:
    """Return Clopper and Pearson's one-sided 95 % bound. Source: Clopper and Pearson 1934, Biometrika 26:404-413."""
    return 1.0 if count >= trials else float(betaincinv(count + 1, trials - count, 0.95))


def _rate(counts: Counts) -> dict[str, float]:
    count, lives = counts["any promoted"], counts["lives"]
    return {"rate": count / lives, "high": upper(count, lives), "lives": lives}


def _power(counts: Counts) -> dict[str, float]:
    return {str(cycle): counts[f"promoted at {cycle}"] / counts["lives"] for cycle in CYCLES}


def _bias(counts: Counts, which: str, per: str = "promotions") -> float:
    return (counts[which] - counts["true"]) / max(1.0, counts[per])


def _ratios(counts: Mapping[str, Counts], cycle: int) -> dict[str, float]:
    """Return mean cases over the cases of the fixed gate that has the sequential gate's power, per effect."""
    asked = {effect: counts[f"sequential, cycle {cycle}, {effect:g} x"] for effect in EFFECTS}
    power = asked[1.0]["promoted"] / asked[1.0]["attempts"]
    powers, sizes = [], []
    for scale in SCALES:
        one = counts[f"fixed, cycle {cycle}, {scale:g} of the cases"]
        powers.append(one["promoted"] / one["attempts"])
        sizes.append(one["cases"] / one["attempts"])
    fixed = float(np.interp(power, np.maximum.accumulate(powers), sizes))
    return {f"{effect:g}": one["cases"] / one["attempts"] / fixed for effect, one in asked.items()} | {"power": power}
