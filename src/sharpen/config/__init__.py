"""One TOML file, one typed tree: `sections` says what there is, `file` reads and writes it."""

from sharpen.config.file import DEFAULT_PATH, load, parse, render
from sharpen.config.sections import (
    SMOLLM2,
    CaptureSection,
    Config,
    CritiqueSection,
    CurationSection,
    EvaluationSection,
    GatewaySection,
    ModelsSection,
    PromotionSection,
    Section,
    ServingSection,
    TrackingSection,
    TrainingSection,
)

__all__ = [
    "DEFAULT_PATH",
    "SMOLLM2",
    "CaptureSection",
    "Config",
    "CritiqueSection",
    "CurationSection",
    "EvaluationSection",
    "GatewaySection",
    "ModelsSection",
    "PromotionSection",
    "Section",
    "ServingSection",
    "TrackingSection",
    "TrainingSection",
    "load",
    "parse",
    "render",
]
