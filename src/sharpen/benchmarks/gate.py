"""What the gate promises, simulated on made-up answers where the truth is known; resumable.

In: nothing, or a part of the full size. Out: false promotions over lives of 20 cycles, power, bias of what is
published, cases saved, planted regressions. Must not know who reads them.

Every unit is seeded and written down when it is done, in the user's cache folder: a run that was ended goes on. A plain
"better on 100 cases" rule and the fixed-size gate of equal power are the named peers.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import platformdirs

from sharpen.benchmarks import publish
from sharpen.promotion.rehearsal import measures
from sharpen.promotion.rehearsal.measures import Counts
from sharpen.promotion.rehearsal.report import add, figures, table, units
from sharpen.records import content_hash


def measure(share: float = 1.0, done_path: Path | None = None) -> dict[str, object]:
    """Return the figures; `share` of the full number of units is done, `done_path` keeps those that are.

    Kept units count only for the same settings, designs and effects.
    """
    path = done_path or platformdirs.user_cache_path("sharpen") / "bench-gate.json"
    key = content_hash([measures.SETTINGS.model_dump(), [str(one) for one in measures.designs().values()]])
    done = _read(path, key)
    totals: dict[str, Counts] = {}
    for name, (unit, count) in units().items():
        parts = []
        for number in range(max(1, round(share * count))):
            slot = f"{name}/{number}"
            if slot not in done:
                done[slot] = unit(number)
                if number % 10 == 0:
                    _write(path, key, done)
            parts.append(done[slot])
        totals[name] = add(parts)
        _write(path, key, done)
    return figures(totals)


def _read(path: Path, key: str) -> dict[str, Counts]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        done: dict[str, Counts] = kept["done"] if kept["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not ours: begin anew
        return {}
    return done


def _write(path: Path, key: str, done: dict[str, Counts]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({"key": key, "done": done}), encoding="utf-8")
    part.replace(path)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="part of the full number of units")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--table", action="store_true", help="print the table of the documents")
    chosen = parser.parse_args()
    found = measure(chosen.share)
    publish(found, chosen.json)
    if chosen.table:
        print(table(found))  # noqa: T201 - the table is the output


if __name__ == "__main__":
    main()
