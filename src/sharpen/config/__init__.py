"""One TOML file, one typed tree: `sections` says what there is, `file` reads and writes it."""

from sharpen.config.answering import CaptureSection, GatewaySection, ModelsSection, ServingSection
from sharpen.config.deciding import EvaluationSection, MonitoringSection, PromotionSection, RolloutSection, RunSection
from sharpen.config.file import DEFAULT_PATH, load, parse, render
from sharpen.config.integrity import IntegritySection
from sharpen.config.learning import CritiqueSection, CurationSection, FairnessSection, MemorySection, TrainingSection
from sharpen.config.section import Section
from sharpen.config.sections import SMOLLM2, Config, GraphsSection, TrackingSection

__all__ = [
    "DEFAULT_PATH",
    "SMOLLM2",
    "CaptureSection",
    "Config",
    "CritiqueSection",
    "CurationSection",
    "EvaluationSection",
    "FairnessSection",
    "GatewaySection",
    "GraphsSection",
    "IntegritySection",
    "MemorySection",
    "ModelsSection",
    "MonitoringSection",
    "PromotionSection",
    "RolloutSection",
    "RunSection",
    "Section",
    "ServingSection",
    "TrackingSection",
    "TrainingSection",
    "load",
    "parse",
    "render",
]
