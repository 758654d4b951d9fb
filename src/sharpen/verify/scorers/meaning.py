"""A scorer that compares meanings: the cosine of two embeddings.

In: what opens any LangChain `Embeddings`. Out: a scorer. Must not know which model it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sharpen.verify.scorers.registry import Scorer, Unscored


class Embeddings(Protocol):
    """What is needed of LangChain's `Embeddings`."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        ...


def similarity(open_embeddings: Callable[[], Embeddings]) -> Scorer:
    """Return a scorer: the cosine of reply and reference, 0 where it is negative. The model is opened at its first use.

    It is a smooth value, not a verdict: unrelated texts reach 0.2 and more with most models, so compare arms with it,
    and put no threshold on it that was not measured.
    """

    embeddings = functools.cache(open_embeddings)

    def similarity(reply: str, reference: str) -> float:
        if not reply.strip():
            return 0.0
        left, right = _unit(embeddings().embed_documents([reply, reference]))
        return float(np.clip(left @ right, 0.0, 1.0))

    return similarity


def _unit(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    vectors: NDArray[np.float64] = np.asarray(rows, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if vectors.shape[0] != 2 or not np.isfinite(lengths).all() or (lengths == 0).any():
        raise Unscored("the embedding of the reply or the reference is empty or not finite")
    unit: NDArray[np.float64] = vectors / lengths
    return unit
