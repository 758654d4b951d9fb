"""The filters: one small function each, of a batch; this is the table of their names.

In: candidates. Out: why some of them are dropped. Must not know mining, or where batches come from.
"""

from __future__ import annotations

from sharpen.curation.filters.form import language, length, length_ratio, same_answer
from sharpen.curation.filters.held_out import contamination, held_out
from sharpen.curation.filters.patterns import injection, personal, secrets
from sharpen.curation.filters.shares import human_floor, replay, source_cap
from sharpen.curation.filters.trust import agreement, stale, toxicity
from sharpen.curation.filters.verdicts import Filter

# Each looks at one candidate at a time, so a batch may be any part of the whole; in the order in which they are asked.
LOCAL: dict[str, Filter] = {
    "held_out": held_out,
    "contamination": contamination,
    "length": length,
    "length_ratio": length_ratio,
    "language": language,
    "same_answer": same_answer,
    "low_agreement": agreement,
    "stale": stale,
    "personal": personal,
    "secrets": secrets,
    "injection": injection,
    "toxicity": toxicity,
}
# Each looks at all that is left, strongest first. Duplicates, meaning and label errors come before these.
WHOLE: dict[str, Filter] = {"replay": replay, "source_cap": source_cap, "human_floor": human_floor}
