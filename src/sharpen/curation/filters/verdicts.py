"""What a filter is, and what it says of a batch.

In: candidates and a plan. Out: a reason per candidate, or None where it may stay. Must not know any one filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.curation.candidate import Candidate
from sharpen.curation.plan import Plan

Reasons = list[str | None]  # per candidate of the batch: why it is dropped, in a few words; None: it stays
Filter = Callable[[Sequence[Candidate], Plan], Reasons]
