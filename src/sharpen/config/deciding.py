"""What is measured, what ships and how, what is watched, and when the next cycle begins.

In: plain values. Out: typed sections. Must not know files, or what a stage does with its section.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from sharpen.config.section import Section
from sharpen.records import Sign


class EvaluationSection(Section):
    """What is measured, on what."""

    suite: str = Field(
        default="", description="the target: FILE.jsonl, .csv or .parquet, hf:NAME, ready:NAME or reasoning-gym:NAME"
    )
    guards: list[str] = Field(default_factory=list, description="suites that must not get worse")
    max_new_tokens: int = Field(default=12, ge=1, description="longest answer")
    in_context: int = Field(default=6, ge=0, le=64, description="training examples in the in-context arm's prompt")
    in_context_by: Literal["nearest", "fixed"] = Field(
        default="nearest", description="nearest: those most like the question; fixed: one per answer, the same for all"
    )
    size: int = Field(default=600, ge=10, description="cases to draw from a generator such as reasoning-gym")
    data: str = Field(default="", description="folder that ready:NAME reads; empty: the one SHARPEN_DATA names")
    cache_bytes: int = Field(
        default=256 << 20, ge=0, description="most bytes of answers kept in `home`, so that none is computed twice"
    )

    @property
    def data_folder(self) -> Path | None:
        """The folder of the ready-made suites' data, if one is named."""
        named = self.data or os.environ.get("SHARPEN_DATA", "")
        return Path(named) if named else None

    outside: list[Literal["ragas", "promptfoo", "deepchecks"]] = Field(
        default_factory=list,
        description="evaluators that `sharpen outside` asks; what they say is advice, never a gate",
    )
    judge: str = Field(
        default="", description="who judges: engine (the champion), openai:http://host/v1#model or module:attr"
    )
    judge_days: int = Field(default=30, ge=1, description="days after which a judge has to be measured again")
    held_out_scorer: str = Field(
        default="word_f1",
        description="a scorer or rubric that training never uses: a gain that it does not see may be judge hacking",
    )
    toxicity: str = Field(default="", description="path of an HF evaluate script with a 'toxicity' metric; it is run")
    regard: str = Field(default="", description="path of an HF evaluate script with a 'regard' metric; it is run")


class PromotionSection(Section):
    """When a challenger becomes the champion."""

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance of a false promotion, over the deployment's life"
    )
    effect: float = Field(
        default=0.05, gt=0, lt=1, description="gain on the target worth finding; doctor and early stopping count on it"
    )
    min_effect: float = Field(default=0.0, ge=0, lt=1, description="gain on the target that the interval must clear")
    guard_margin: float = Field(default=0.05, gt=0, lt=1, description="loss on a guard that the interval must exclude")
    group_margin: float = Field(
        default=0.05, gt=0, lt=1, description="the same for any one group of cases; never below the suite's own margin"
    )
    margins: dict[str, float] = Field(default_factory=dict, description="guards' own margins, by suite name")
    floors: dict[str, float] = Field(
        default_factory=dict, description="absolute caps: mean score that the interval must clear, by suite name"
    )
    allow_unarmed: bool = Field(
        default=False, description="promote although a guard has too few cases to resolve its margin"
    )
    refresh: float = Field(
        default=0.2, ge=0, le=1, description="share of a generator's gate cases that are drawn anew each cycle"
    )
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")
    stop_on: list[Sign] = Field(
        default=["contamination", "canaries"],
        description="signs on the cycle's page that hold a promotion when they alarm; the others are shown",
    )
    canary: bool = Field(
        default=False, description="give a promoted challenger 5, 25, 50, then 100 % of the traffic, as [rollout] says"
    )


class RolloutSection(Section):
    """How a canary goes on to all of the traffic, or back."""

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance that a canary as good as the champion is rolled back as harmful"
    )
    min_requests: int = Field(default=100, ge=1, description="exchanges a canary must have had at each share")
    min_ratings: int = Field(default=30, ge=1, description="rated sessions a canary must have had at each share")
    max_hours: float = Field(
        default=72.0, gt=0, description="hours at one share after which a canary that could not go on is rolled back"
    )
    error_margin: float = Field(default=0.02, gt=0, lt=1, description="more failed exchanges than this share is harm")
    refusal_margin: float = Field(default=0.05, gt=0, lt=1, description="more refusals than this share is harm")
    latency_factor: float = Field(
        default=1.5, ge=1, description="slow is more than this times the champion's 95th percentile before the canary"
    )


class MonitoringSection(Section):
    """What is watched while `sharpen serve` runs."""

    look_s: float = Field(default=60.0, gt=0, description="seconds between looks at live traffic")
    false_alarms: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance of any false alarm in a week of windows"
    )
    window_minutes: float = Field(default=60.0, ge=1, description="shortest window that is compared with the reference")
    min_window: int = Field(
        default=30, ge=10, description="fewest exchanges, or ratings, in a window; it waits for them"
    )
    reference: int = Field(default=24, ge=10, description="windows that say what is normal")
    embeddings: bool = Field(
        default=False, description="also watch what replies mean, with the model of [memory] embeddings"
    )
    webhook: str = Field(default="", description="address that alerts are sent to; empty: the log alone")
    webhook_key_env: str = Field(
        default="SHARPEN_WEBHOOK_KEY", description="environment variable that holds the key alerts are signed with"
    )


class RunSection(Section):
    """When `sharpen run` begins a cycle, and what cycles may cost."""

    every_hours: float = Field(
        default=24.0,
        ge=0,
        description="hours from one cycle's beginning to the next, if anything new was said; 0: never",
    )
    min_feedback: int = Field(
        default=200, ge=0, description="new pieces of feedback that begin a cycle at once; 0: only the clock does"
    )
    budget_hours: float = Field(default=0.0, ge=0, description="most hours of cycles in any seven days; 0: no limit")
    budget_usd: float = Field(default=0.0, ge=0, description="most dollars in any seven days; 0: no limit")
    usd_per_hour: float = Field(default=0.0, ge=0, description="what an hour of this machine costs, in dollars")
    look_s: float = Field(default=60.0, gt=0, description="seconds between looks at whether a cycle is due")
