"""The nouns: frozen, append-only records, each written by exactly one stage.

In: plain values. Out: pydantic models. Must not know how they are stored or who writes them.

Things made of content (snapshots, adapters, cases) are named by their hash; things that happened (traces, feedback,
critiques) by a time-ordered id. A record made inside a cycle derives its id from the cycle and the item, so that a
step that runs again after a crash writes the same record again.

`payload` names the fields that hold people's words: the store keeps them apart, so that they can be erased.
`volatile` names the fields that measure the clock: a digest of a run leaves them out.
"""

from __future__ import annotations

from sharpen.records.cycle import Cycle, StageTime
from sharpen.records.exchange import (
    Deployment,
    Feedback,
    Memory,
    MemoryType,
    Message,
    ModelVersion,
    Signal,
    Source,
    Trace,
)
from sharpen.records.learning import Critique, Example, Issue, Method, Origin, Snapshot, Step, TrainingRun
from sharpen.records.measuring import Case, Comparison, Decision, Finding, JudgeTrial, Score, Sign, Verdict, Vital
from sharpen.records.record import Record, Value, content_hash, new_id, now

__all__ = [
    "RECORDS",
    "Case",
    "Comparison",
    "Critique",
    "Cycle",
    "Decision",
    "Deployment",
    "Example",
    "Feedback",
    "Finding",
    "Issue",
    "JudgeTrial",
    "Memory",
    "MemoryType",
    "Message",
    "Method",
    "ModelVersion",
    "Origin",
    "Record",
    "Score",
    "Sign",
    "Signal",
    "Snapshot",
    "Source",
    "StageTime",
    "Step",
    "Trace",
    "TrainingRun",
    "Value",
    "Verdict",
    "Vital",
    "content_hash",
    "new_id",
    "now",
]

RECORDS: tuple[type[Record], ...] = (
    ModelVersion, Deployment, Source, Trace, Feedback, Critique, Example, Snapshot, TrainingRun, Score, Verdict, Memory,
    JudgeTrial,
)  # fmt: skip
