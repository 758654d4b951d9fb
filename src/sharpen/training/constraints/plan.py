"""What the constraints make of the rows: checked, re-ordered, grouped, contrasted, counted; before any step.

In: rows (messages, chosen, rejected; optional group, twin, violations, weight, label) and the recipe. Out: a `Plan` of
items to train on, with arrays beside them. Must not import torch: the launcher makes a plan before it starts a child.

Row fields: `group` is a name or null; `twin` names the set of prompts that differ in a protected attribute alone;
`violations` is {"chosen": [principle, ...], "rejected": [...]}; `weight` is a finite number, 0 or more.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sharpen.config import FairnessSection
from sharpen.errors import Refused
from sharpen.fairness.balance import balanced, desirability
from sharpen.fairness.groups import Groups, group_rows
from sharpen.fairness.principles import rule
from sharpen.fairness.twins import Contrasts, Rated, pair_contrasts, rated_contrasts
from sharpen.training.job import Recipe

PAIRWISE = ("dpo", "rpo")
RATED = ("kto",)


@dataclass(frozen=True, slots=True)
class Plan:
    """N items and, for each, what the loss has to know; item `n` carries `"row": n`."""

    items: list[dict[str, Any]]
    weight_N: np.ndarray  # its own weight; means 1 within its group
    groups: Groups | None
    contrasts: Contrasts | None
    harm_N: np.ndarray  # h_l - h_w of SafeDPO
    settings: FairnessSection
    balance: tuple[float, float] = (1.0, 1.0)  # KTO's weights of good and bad answers, where no groups are held
    told: dict[str, float] = field(default_factory=dict)  # counts for the run's metrics


def make_plan(rows: list[dict[str, Any]], recipe: Recipe) -> Plan:
    """Return the plan of a method's rows.

    Raises: Refused when the method has no constrained form, or when a constraint has nothing to hold on to: bad
    weights, unknown or empty groups, one group alone, no whole twin set, no row that was judged by a principle.
    """
    settings = recipe.fairness or FairnessSection()
    if recipe.method not in (*PAIRWISE, *RATED):
        raise Refused(
            f"[fairness] has no constrained form of method '{recipe.method}'.",
            "use [training] method = 'dpo', 'rpo' or 'kto', or empty the [fairness] section",
        )
    told: dict[str, float] = {}
    weights = _weights(rows)
    items = [row | {"weight": weight} for row, weight in zip(rows, weights, strict=True)]
    items = _pairs(items, settings, told) if recipe.method in PAIRWISE else _ratings(items, settings, told)
    if not items:
        raise Refused(
            f"No row is left that {recipe.method} could learn from.", "look at the rows' answers and violations"
        )
    weight_N = np.array([item["weight"] for item in items], dtype=float)
    if not weight_N.any():
        raise Refused("The weights of all rows are 0.", "sharpen curate")
    groups = _groups(items, settings, told) if settings.groups else None
    weight_N = _normalised(weight_N, groups)
    balance = (1.0, 1.0)
    if recipe.method in RATED:
        good_N = np.array([item["label"] for item in items])
        if groups is None:
            balance = desirability(int(good_N.sum()), int((~good_N).sum()))
        else:
            weight_N = weight_N * balanced(groups.index_N, good_N, groups.names)
    contrasts = _contrasts(items, recipe.method, told) if settings.twins else None
    return Plan(
        items=[item | {"row": number} for number, item in enumerate(items)],
        weight_N=weight_N,
        groups=groups,
        contrasts=contrasts,
        harm_N=np.array([item["harm"] for item in items], dtype=float),
        settings=settings,
        balance=balance,
        told=told,
    )


def _weights(rows: list[dict[str, Any]]) -> list[float]:
    weights = []
    for number, row in enumerate(rows, 1):
        value = row.get("weight", 1.0)
        value = 1.0 if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
            raise Refused(
                f"Row {number} has the weight {value!r}; it must be a finite number, 0 or more.", "correct it"
            )
        weights.append(float(value))
    return weights


def _pairs(rows: list[dict[str, Any]], settings: FairnessSection, told: dict[str, float]) -> list[dict[str, Any]]:
    """Return the pairs, re-ordered so that no chosen answer breaks a principle where the rejected one does not."""
    pairs = [row for row in rows if row.get("rejected") is not None and row.get("chosen") is not None]
    if not settings.principles:
        return [pair | {"harm": 0} for pair in pairs]
    _need_judged(pairs)
    kept, flipped, dropped = [], 0, 0
    for number, pair in enumerate(pairs, 1):
        chosen, rejected = _violations(pair, number)
        ruling = rule(chosen, rejected, settings.principles)
        if ruling.fate == "drop":
            dropped += 1
            continue
        if ruling.fate == "flip":
            flipped += 1
            pair = pair | {"chosen": pair["rejected"], "rejected": pair["chosen"]}  # noqa: PLW2901
        kept.append(pair | {"harm": ruling.harm})
    told |= {
        "pairs_flipped_by_principles": float(flipped),
        "pairs_dropped_by_principles": float(dropped),
        "pairs_with_a_margin": float(sum(pair["harm"] for pair in kept)),
    }
    return kept


def _ratings(rows: list[dict[str, Any]], settings: FairnessSection, told: dict[str, float]) -> list[dict[str, Any]]:
    """Return single rated answers; an answer that breaks a principle was not good, whoever liked it."""
    if settings.principles:
        _need_judged(rows)
    items, turned = [], 0
    for number, row in enumerate(rows, 1):
        violations = _violations(row, number) if settings.principles else ((), ())
        for side, found in zip(("chosen", "rejected"), violations, strict=True):
            if row.get(side) is None:
                continue
            good = side == "chosen"
            if good and rule(found, (), settings.principles).fate == "flip":
                good, turned = False, turned + 1
            kept = {key: row.get(key) for key in ("messages", "group", "twin", "weight")}
            items.append(kept | {"answer": row[side], "label": good, "harm": 0})
    if settings.principles:
        told["ratings_turned_by_principles"] = float(turned)
    return items


def _need_judged(rows: list[dict[str, Any]]) -> None:
    if not any(row.get("violations") is not None for row in rows):
        raise Refused(
            "[fairness] principles are set, but no row says which principles its answers break.",
            "run a constitutional critique on the rows, or empty [fairness] principles",
        )


def _violations(row: dict[str, Any], number: int) -> tuple[list[str], list[str]]:
    found = row.get("violations")
    if found is None:
        return [], []  # not judged: nothing is known against it
    sides: list[Any] = [found.get(side, []) for side in ("chosen", "rejected")] if isinstance(found, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in sides):
        raise Refused(f"Row {number} has violations that are not lists of names for chosen and rejected.", "correct it")
    return sides[0], sides[1]


def _groups(items: list[dict[str, Any]], settings: FairnessSection, told: dict[str, float]) -> Groups:
    labels = [item.get("group") for item in items]
    if odd := next((label for label in labels if not isinstance(label, str | None) or label == ""), None):
        raise Refused(f"The group {odd!r} is not a name.", "use a text, or null where nobody declared one")
    groups = group_rows(labels, settings.target, min_rows=settings.min_group)
    told["groups_merged"] = float(len(groups.merged))
    told["rows_without_a_group"] = float(sum(label is None for label in labels))
    return groups


def _normalised(weight_N: np.ndarray, groups: Groups | None) -> np.ndarray:
    """Scale weights to mean 1 in each group, so that a group's share is the dual's business alone."""
    if groups is None:
        return np.asarray(weight_N / weight_N.mean())
    sums_G = np.bincount(groups.index_N, weights=weight_N, minlength=len(groups.names))
    if not sums_G.all():
        empty = groups.names[int(np.argmin(sums_G))]
        raise Refused(f"The weights of all rows of group '{empty}' are 0.", "sharpen curate")
    mean_G = sums_G / np.bincount(groups.index_N, minlength=len(groups.names))
    return np.asarray(weight_N / mean_G[groups.index_N])


def _contrasts(items: list[dict[str, Any]], method: str, told: dict[str, float]) -> Contrasts:
    twins = [item.get("twin") for item in items]
    if method in PAIRWISE:
        found = pair_contrasts([one["chosen"] for one in items], [one["rejected"] for one in items], twins)
    else:
        asked = [json.dumps(one["messages"], sort_keys=True) for one in items]
        found = rated_contrasts(
            [Rated(text, one["answer"], one["label"], one.get("twin")) for text, one in zip(asked, items, strict=True)]
        )
        told["twins_comparable_for_drift_only"] = float(found.is_drift_P.sum())
    told |= {
        "twin_sets": float(found.sets),
        "twin_sets_missing_a_twin": float(found.missing),
        "twin_conflict_share": found.conflicts / found.sets,
    }
    return found
