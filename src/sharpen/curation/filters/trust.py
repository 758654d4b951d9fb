"""How far the evidence can be trusted: agreement, age, and poison.

In: candidates with their margins and versions. Out: those that rest on too little. Must not know what they teach.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache

from sharpen.curation.candidate import Candidate, asked
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan
from sharpen.errors import ConfigError


def agreement(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what the evidence says with a margin under `min_margin`."""
    limit = plan.settings.min_margin
    return [f"margin {one.margin:.2f}" if one.margin is not None and one.margin < limit else None for one in batch]


def stale(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop answers of versions that more than `stale_versions` others came after; a person's words do not age."""
    limit, age = plan.settings.stale_versions, plan.age
    return [
        f"version {one.version} is {age.get(one.version, limit + 1)} versions old"
        if limit and one.origin != "correction" and age.get(one.version, limit + 1) > limit
        else None
        for one in batch
    ]


def toxicity(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what the plug-in `toxicity` scores above `max_toxicity`: question and answer to learn, 0-1."""
    if not plan.settings.toxicity:
        return [None] * len(batch)
    score = _plugin(plan.settings.toxicity)
    marks = [max(score([asked(one.prompt), one.chosen or ""])) for one in batch]
    return [f"toxicity {mark:.2f}" if mark > plan.settings.max_toxicity else None for mark in marks]


@cache
def _plugin(name: str) -> Callable[[Sequence[str]], Sequence[float]]:
    module, _, attribute = name.partition(":")
    try:
        found: Callable[[Sequence[str]], Sequence[float]] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"[curation] toxicity: '{name}' cannot be loaded: {error}", "module:attr") from error
    return found
