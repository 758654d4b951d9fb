"""One pass of the loop, as a person sees it.

In: plain values. Out: views, never stored. Must not know the ledger.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharpen.records.measuring import Verdict
from sharpen.records.record import Value


class StageTime(Value):
    """How long one stage of a cycle took."""

    stage: str = Field(description="the stage's verb")
    seconds: float = Field(description="wall-clock seconds")
    model_seconds: float = Field(description="of these, seconds inside model forward and backward passes")


class Cycle(Value):
    """One pass, seen through the durable workflow's own ledger: a view, never stored."""

    id: str = Field(description="the cycle's id; its workflow is named by it")
    state: Literal["running", "done", "failed"] = Field(description="as the ledger says")
    champion_id: str = Field(description="the version that served when it began")
    snapshot_id: str | None = Field(default=None, description="what was learned from")
    version_id: str | None = Field(default=None, description="the challenger")
    verdict: Verdict | None = Field(default=None, description="the gate's decision")
    deployed: bool = Field(default=False, description="the challenger serves now")
    stages: tuple[StageTime, ...] = Field(default=(), description="time per finished stage")
    error: str | None = Field(default=None, description="why it failed")
