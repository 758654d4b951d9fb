"""What is learned of all that was sifted: the half of curation that has to see everything at once.

In: candidates of all parts with their keys. Out: which of them stay, in training order, and why the others do not. Must
not know parts or engines.

Candidates may lie in a file: they are looked at one by one, and only where a filter needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np

from sharpen.curation.candidate import Candidate
from sharpen.curation.filters import WHOLE
from sharpen.curation.filters.duplicates import Keys, repeated
from sharpen.curation.filters.labels import label_errors
from sharpen.curation.filters.meaning import meaning
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.mining.find import STRENGTH
from sharpen.curation.plan import Plan
from sharpen.curation.sift import Dropped
from sharpen.models.embeddings import Embedder

Embedding = Callable[[], Embedder]


class Chosen(NamedTuple):
    """The positions that stay, strongest evidence first, and what was dropped."""

    kept: list[int]
    dropped: list[Dropped]


class Picked(Sequence[Candidate]):
    """Some of the candidates, in an order of their own, without a copy."""

    def __init__(self, rows: Sequence[Candidate], places: Sequence[int]) -> None:
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> Picked: ...
    def __getitem__(self, at: int | slice) -> Candidate | Picked:
        """Return one candidate, or some."""
        if isinstance(at, slice):
            return Picked(self._rows, self._places[at])
        return self._rows[self._places[at]]

    def __iter__(self) -> Iterator[Candidate]:
        return (self._rows[place] for place in self._places)


def by_strength(origins: Sequence[str], places: Sequence[int]) -> np.ndarray:
    """Return the positions of candidates, the strongest evidence first, then the earliest."""
    strength_N = np.array([STRENGTH[origin] for origin in origins], dtype=np.int64)  # type: ignore[index]
    return np.lexsort((np.arange(len(places)), np.asarray(places, dtype=np.int64), strength_N))


def choose(
    rows: Sequence[Candidate],
    keys: Keys,
    order: Sequence[int] | np.ndarray,
    plan: Plan,
    embedding: Embedding | None = None,
) -> Chosen:
    """Drop what repeats, what a model finds wrong or repeated in other words, and what goes beyond a share.

    `embedding` opens the embedder; it is only asked where `[curation] meaning` is set.
    """
    settings = plan.settings
    dropped: list[Dropped] = []
    same_N, alike_N = repeated(keys, order, settings.near_duplicate)
    for name, twin_N in (("duplicate", same_N), ("near_duplicate", alike_N)):
        for place in np.flatnonzero(twin_N >= 0).tolist():
            dropped.append(Dropped(rows[place].evidence[0], name, f"as {rows[int(twin_N[place])].evidence[0]}"))
    repeats_N = (same_N >= 0) | (alike_N >= 0)
    left = [int(place) for place in order if not repeats_N[place]]

    def drop(name: str, reasons: Reasons) -> None:
        nonlocal left
        lost = [(place, why) for place, why in zip(left, reasons, strict=True) if why is not None]
        if lost:
            dropped.extend(Dropped(rows[place].evidence[0], name, why) for place, why in lost)
            left = [place for place, why in zip(left, reasons, strict=True) if why is None]

    if settings.label_errors:
        drop("label_error", label_errors(Picked(rows, left)))
    if settings.meaning and embedding is not None:
        drop("meaning", meaning(Picked(rows, left), settings.meaning, embedding()))
    for name, judge in WHOLE.items():
        drop(name, judge(Picked(rows, left), plan))
    return Chosen(left, dropped)
