"""The best k passages, among which every perspective that has something to say is heard.

In: per candidate its relevance and perspective. Out: which ones, and in what order. Must not know texts or stores.

The k most relevant passages of a corpus that is written by one group are that group's. So each perspective has a floor,
and what is shown beyond the floors is the most relevant of all. A perspective without a passage that is relevant enough
is left out: to show something beside the point in its name would be a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sharpen.errors import Refused

LEAST = 0.7  # chosen: of the best passage's relevance; what is less is beside the point


@dataclass(frozen=True, slots=True)
class Cover:
    """The chosen candidates, the most relevant first, and who is among them."""

    chosen: list[int]
    heard: dict[str, int]
    silent: tuple[str, ...]  # perspectives with candidates of which none is relevant enough

    @property
    def coverage(self) -> float:
        """Share of the perspectives with something relevant to say that are heard."""
        able = len(self.heard)
        return sum(count > 0 for count in self.heard.values()) / able if able else 1.0


def cover(
    relevance_N: np.ndarray,
    perspective: Sequence[str],
    k: int,
    *,
    floors: Mapping[str, int] | None = None,
    least: float = LEAST,
) -> Cover:
    """Choose up to `k` candidates: the floor of every perspective first, then the most relevant.

    `floors` counts passages, one each if left out. `least` is a share of the best relevance, 0-1.
    Raises: Refused when the floors are more than `k`, or relevance and perspectives differ in number.
    """
    if len(relevance_N) != len(perspective):
        raise Refused(f"{len(relevance_N)} relevances of {len(perspective)} passages.", "give one each")
    wanted = dict.fromkeys(sorted(set(perspective)), 1) | dict(floors or {})
    order = np.argsort(-np.asarray(relevance_N, dtype=float), kind="stable").tolist()
    bar = least * float(relevance_N[order[0]]) if order else 0.0
    able = {name: [at for at in order if perspective[at] == name and relevance_N[at] >= bar] for name in wanted}
    heard = {name for name, places in able.items() if places}
    need = {name: min(floor, len(able[name])) for name, floor in wanted.items()}
    if sum(need.values()) > k:
        raise Refused(f"The floors ask for {sum(need.values())} passages, and {k} are shown.", "lower them, or raise k")
    chosen = {at for name, places in able.items() for at in places[: need[name]]}
    for at in order:
        if len(chosen) >= k:
            break
        chosen.add(at)
    ranked = [at for at in order if at in chosen]
    counts = {name: sum(perspective[at] == name for at in ranked) for name in sorted(heard)}
    silent = tuple(name for name in sorted(set(perspective)) if name not in heard)
    return Cover(ranked, counts, silent)


def ndcg(relevance_K: Sequence[float], ideal_N: Sequence[float], k: int) -> float:
    """Return the normalised discounted gain of a ranking: 1 is the best order there is.

    Source: Järvelin and Kekäläinen 2002, with gain = relevance and discount log2(rank + 1).
    """
    discount_K = 1 / np.log2(np.arange(2, k + 2))
    best = float((np.sort(np.asarray(ideal_N, dtype=float))[::-1][:k] * discount_K[: min(k, len(ideal_N))]).sum())
    own = float((np.asarray(relevance_K[:k], dtype=float) * discount_K[: min(k, len(relevance_K))]).sum())
    return own / best if best else 1.0
