"""The demo's task: a shop's support inbox, 600 messages that six teams share.

In: two files of this package, written for it one by one. Out: suites in the format that any user's suite has. Must not
know models.
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

TEAMS = ("billing", "delivery", "returns", "account", "technical", "sales")
SYSTEM = "Route the customer's message to one team: billing, delivery, returns, account, technical or sales."


def write_suites(folder: Path) -> tuple[Path, Path]:
    """Write the target and the guard as suite files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    target, guard = folder / "support-inbox.jsonl", folder / "general-knowledge.jsonl"
    _write(
        target,
        [
            {"prompt": row["message"], "system": SYSTEM, "reference": row["team"], "choices": list(TEAMS)}
            for row in _rows("inbox.jsonl")
        ],
    )
    # A guard is there for the gate alone, so every question is in its tier.
    _write(
        guard,
        [
            {
                "prompt": row["question"],
                "reference": row["answer"],
                "choices": row["choices"],
                "scorer": "choice",
                "tier": "gate",
            }
            for row in _rows("general.jsonl")
        ],
    )
    return target, guard


def count() -> Counter[str]:
    """Return the number of messages per team."""
    return Counter(row["team"] for row in _rows("inbox.jsonl"))


def _rows(name: str) -> list[dict[str, Any]]:
    text = files("sharpen.demo").joinpath(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
