"""A share of the training set that is only looked at, to see when more training makes things worse.

In: a prepared data set. Out: the larger part and the smaller one. Must not know the method.

The hash of its prompt says where a row belongs: the same prompt is on the same side in every run and every cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpen.records import content_hash

_HASHES = 1 << 32  # of the first eight hexadecimal digits
LEAST = 4  # chosen: the mean loss of fewer rows says little


def hold_out(data: Any, share: float) -> tuple[Any, Any]:
    """Return (training part, dev part); the dev part is None where it would have fewer than LEAST rows."""
    held = [i for i, row in enumerate(data) if int(content_hash(_prompt(row), length=8), 16) < share * _HASHES]
    if len(held) < LEAST or len(data) - len(held) < LEAST:
        return data, None
    kept = set(held)
    return data.select([i for i in range(len(data)) if i not in kept]), data.select(held)


def _prompt(row: Mapping[str, Any]) -> Any:
    """Return what was asked, of whatever shape the method's rows have."""
    for column in ("prompt_ids", "prompt_input_ids", "prompt"):
        if column in row:
            return row[column]
    if "labels" in row:  # what is not learned is the prompt
        return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]
    return row["input_ids"]
