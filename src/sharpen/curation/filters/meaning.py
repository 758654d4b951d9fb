"""Questions that mean the same in other words.

In: candidates, strongest first, and an embedder. Out: those that repeat a stronger one. Must not know any one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sharpen.curation.candidate import Candidate, asked
from sharpen.curation.filters.verdicts import Reasons
from sharpen.models.embeddings import Embedder
from sharpen.plugins import part

_EXACT = 5_000  # chosen: questions below which each is compared with each; beyond, neighbours are approximate


class _Encoder:
    """An embedder of the house, as semhash asks for one."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def encode(self, inputs: Sequence[str] | str, **_: Any) -> np.ndarray:
        """Return a vector per text (N, D)."""
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        return np.asarray(self._embedder.embed_documents(texts), dtype=np.float32)


def meaning(batch: Sequence[Candidate], threshold: float, embedder: Embedder) -> Reasons:
    """Drop questions whose cosine with an earlier one's is `threshold` or more, 0-1; answers alone to unlearn stay.

    Source: semhash's self-deduplication, with the house's embeddings in place of its own.
    """
    wanted = [i for i, one in enumerate(batch) if one.chosen is not None]
    reasons: Reasons = [None] * len(batch)
    if len(wanted) < 2:
        return reasons
    records = [{"text": asked(batch[i].prompt), "at": str(i)} for i in wanted]
    backend = "basic" if len(records) < _EXACT else "usearch"
    hashes = part("semhash").SemHash
    index = hashes.from_records(records, columns=["text"], model=_Encoder(embedder), ann_backend=backend)
    for found in index.self_deduplicate(threshold=threshold).filtered:
        twin = found.duplicates[0][0]["at"] if found.duplicates else None
        reasons[int(found.record["at"])] = f"means what {batch[int(twin)].evidence[0]} asks" if twin else "asked before"
    return reasons
