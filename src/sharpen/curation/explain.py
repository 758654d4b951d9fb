"""Why an exchange is learned from or not, and what two snapshots have not in common.

In: the store, or snapshots' files. Out: lines to print. Must not write anything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sharpen.curation.bundle import read_bundle
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection
from sharpen.errors import NotFound
from sharpen.records import Example
from sharpen.store import Store


def explain(store: Store, record_id: str, selection: Selection, plan: Plan) -> list[str]:
    """Return what curating now makes of an Example, a Trace, a Feedback or a Critique, and why.

    Raises: NotFound when nothing of that name is evidence of anything.
    """
    ids = {record_id}
    lines = []
    for example in store.find(Example, ids=[record_id]):
        ids |= set(example.evidence)
        lines.append(
            f"{record_id} was mined in {example.cycle_id} as {example.origin}, margin {_shown(example.margin)}"
        )
    kept = {place: number for number, place in enumerate(selection.kept)}
    for place, number in kept.items():
        one = selection.rows[place]
        if ids & set(one.evidence):
            lines.append(f"learned: number {number + 1} of {len(kept)}, {one.origin}, margin {_shown(one.margin)}")
            lines.append(f"  rests on {', '.join(one.evidence)}")
            lines.append(f"  weight {one.weight:g}, said by {one.source or 'nobody named'}, version {one.version}")
            lines.append(f"  pass rate of the prompt {_shown(one.pass_rate)}")
    for drop in selection.dropped:
        if drop.id in ids:
            lines.append(f"dropped by {drop.filter}" + (f": {drop.reason}" if drop.reason else "") + f" ({drop.id})")
    if not lines:
        raise NotFound(f"'{record_id}' is evidence of nothing.", "sharpen show  lists what there is")
    changed = {key: value for key, value in plan.settings.model_dump().items() if value != _default(plan, key)}
    return [*lines, f"settings that differ from their defaults: {json.dumps(changed) if changed else 'none'}"]


def difference(address: str, one: str, other: str) -> dict[str, Any]:
    """Return what two snapshots have not in common: rows on either side, counts, and settings.

    A row is the same where all that a trainer gets of it is the same.
    """
    (left, left_table), (right, right_table) = read_bundle(address, one), read_bundle(address, other)
    rows = [Counter(_rows(table)) for table in (left_table, right_table)]
    settings = {
        key: [left["config"].get(key), right["config"].get(key)]
        for key in sorted(left["config"].keys() | right["config"].keys())
        if left["config"].get(key) != right["config"].get(key)
    }
    return {
        "rows": [left["rows"], right["rows"]],
        "only": [sorted((rows[0] - rows[1]).elements()), sorted((rows[1] - rows[0]).elements())],
        "counts": [left["counts"], right["counts"]],
        "dropped": [left["dropped"], right["dropped"]],
        "settings": settings,
        "code": [left["code"], right["code"]],
    }


def _rows(table: Any) -> Iterator[str]:
    for row in table.select(["messages", "chosen", "rejected", "weight", "reference"]).to_pylist():
        yield json.dumps(row, sort_keys=True, ensure_ascii=False)


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _default(plan: Plan, key: str) -> Any:
    return type(plan.settings).model_fields[key].get_default(call_default_factory=True)
