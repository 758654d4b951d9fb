"""Scorers that need more than code: a trusted judge, an embedding model, a metric script.

In: `[evaluation]`, the store, an engine. Out: named scorers, and why some are not there. Must not know suites.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sharpen.config import EvaluationSection
from sharpen.errors import UntrustedJudge
from sharpen.models.engine import Engine
from sharpen.store import Store
from sharpen.verify.judge import RUBRICS
from sharpen.verify.judge_trials import appoint
from sharpen.verify.judges import open_judge
from sharpen.verify.scorers.meaning import Embeddings, similarity
from sharpen.verify.scorers.metrics import regard, toxicity
from sharpen.verify.scorers.registry import scorer


def equip(
    settings: EvaluationSection,
    store: Store,
    *,
    own: Callable[[], tuple[Engine, str]],
    embeddings: Callable[[], Embeddings] | None = None,
) -> dict[str, str]:
    """Register what is configured and allowed; return, per rubric, why its judge may only advise.

    Twice is once. Raises: ConfigError, MissingExtra.
    """
    if embeddings is not None:
        scorer(similarity(embeddings))
    if settings.toxicity:
        scorer(toxicity(Path(settings.toxicity)))
    if settings.regard:
        scorer(regard(Path(settings.regard)))
    refused: dict[str, str] = {}
    for rubric in RUBRICS if settings.judge else ():
        try:
            appoint(store, open_judge(settings.judge, rubric, own=own))
        except UntrustedJudge as error:
            refused[rubric] = error.what
    return refused
