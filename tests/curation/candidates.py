"""Candidates, one line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from sharpen.curation.candidate import Candidate
from sharpen.curation.choose import by_strength
from sharpen.curation.filters.duplicates import Keys, repeated
from sharpen.records import Origin


def candidate(
    question: str,
    chosen: str | None = "x",
    rejected: str | None = None,
    *,
    origin: Origin = "correction",
    before: Sequence[str] = (),
    system: str = "",
    **fields: Any,
) -> Candidate:
    turns = [["system", system]] if system else []
    turns += [["user", said] for said in (*before, question)]
    prompt = json.dumps(turns, ensure_ascii=False, separators=(",", ":"))
    given = {"place": 0, "evidence": ("trc_1",)} | fields
    return Candidate(prompt=prompt, chosen=chosen, rejected=rejected, origin=origin, **given)


def near_duplicates(rows: Sequence[Candidate], threshold: float) -> tuple[list[Candidate], int]:
    """Return what stays, in its order, and how many went."""
    order = by_strength([one.origin for one in rows], range(len(rows)))
    same, alike = repeated(Keys.of(rows), order, threshold)
    stays = (same < 0) & (alike < 0)
    return [rows[i] for i in np.flatnonzero(stays).tolist()], int((~stays).sum())
