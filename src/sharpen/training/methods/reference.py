"""What the frozen base says of each pair, computed once and kept by content.

In: a data set of token ids. Out: the same with a column of reference log-probabilities. Must not know the loss.

Each pair is computed alone, so that its numbers depend on nothing that stood beside it, and a run that finds them kept
gives the same adapter as one that computes them.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import torch

from sharpen.durable import write_text
from sharpen.records import content_hash
from sharpen.training.methods.pairs import PairLogprobs

REFERENCES = "references"  # the column


class References:
    """Reference log-probabilities of one base; `path` is a JSON file, or None to keep nothing."""

    def __init__(self, path: Path | None, logprobs: PairLogprobs) -> None:
        self._path = path
        self._logprobs = logprobs

    def add(self, model: Any, data: Any, collate: Any) -> Any:
        """Return `data` with the column added. Raises: StoreError when the disk refuses."""
        known = self._read()
        keys = [self._key(row) for row in data]
        is_new = False
        with torch.no_grad(), _bare(model):
            for key, row in zip(keys, data, strict=True):
                if key not in known:
                    known[key] = self._of(model, collate([row]))
                    is_new = True
        if self._path is not None and is_new:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # What this data set does not use is forgotten: the next one is this one and more.
            write_text(self._path, json.dumps({key: known[key] for key in keys}))
        return data.add_column(REFERENCES, [known[key] for key in keys])

    def _of(self, model: Any, one: dict[str, torch.Tensor]) -> list[float]:
        device = next(model.parameters()).device
        pair = self._logprobs(model, {name: value.to(device) for name, value in one.items()})
        return [float(answer_B[0]) for answer_B in pair]

    def _read(self) -> dict[str, list[float]]:
        if self._path is None:
            return {}
        with contextlib.suppress(OSError, ValueError):  # it is a cache: what cannot be read is computed again
            known: dict[str, list[float]] = json.loads(self._path.read_text(encoding="utf-8"))
            return known
        return {}

    def _key(self, row: dict[str, Any]) -> str:
        ids = [row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]]
        return content_hash([ids, self._logprobs.is_shared])


def _bare(model: Any) -> Any:
    """Return a context in which the adapter is away; a model without one is its own reference before training."""
    return model.disable_adapter() if hasattr(model, "disable_adapter") else contextlib.nullcontext()
