"""What was declared before training began, so that nothing can be bent to the data afterwards.

In: the settings and the suites' digests, before and now, and earlier verdicts. Out: a reason to hold. Must not know
scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.config import PromotionSection
from sharpen.records import Verdict, content_hash

Plan = Mapping[str, Any]  # plain JSON: it lies among a cycle's facts


def plan_of(settings: PromotionSection, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the plan: every setting of the gate, and the digest of every suite."""
    return {"settings": settings.model_dump(mode="json"), "suites": dict(digests)}


def plan_hash(plan: Plan) -> str:
    """Return the plan's name."""
    return content_hash(plan)


def bent(before: Plan | None, now: Plan, earlier: Sequence[Verdict]) -> str | None:
    """Say what was changed after it was declared; None when nothing was.

    Within a cycle nothing may change once training has begun. Over a deployment's life alpha may only fall: raised
    after a verdict, the budget would no longer bound the chance of a false promotion.
    """
    if before is not None:
        for name in sorted(before["suites"].keys() | now["suites"].keys()):
            if before["suites"].get(name) != now["suites"].get(name):
                return f"the suite {name} was changed after training began"
        keys = before["settings"].keys() | now["settings"].keys()
        changed = sorted(key for key in keys if before["settings"].get(key) != now["settings"].get(key))
        if changed:
            return f"[promotion] {', '.join(changed)} was changed after training began"
    declared = [one.alpha for one in earlier if one.alpha is not None and one.alpha_spent > 0]
    alpha = float(now["settings"]["alpha"])
    if declared and alpha > min(declared):
        return (
            f"[promotion] alpha was raised from {min(declared):g} to {alpha:g} after data were seen; set it back, or "
            "begin a new deployment with a new `home`"
        )
    return None
