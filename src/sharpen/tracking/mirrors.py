"""Tell the tools of `[tracking]` what a cycle trained and found: MLflow, Weights & Biases, LangSmith.

In: one evaluation's Scores, its cases, the run behind it, what serves. Out: a line per tool that was told. Must not
know the store. They mirror what the store owns: a tool that fails is a warning; the others are told.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from sharpen.config import Config
from sharpen.errors import SharpenError
from sharpen.records import Case, Deployment, ModelVersion, Score, TrainingRun
from sharpen.tracking.langsmith import LangSmithMirror
from sharpen.tracking.mlflow import MlflowMirror
from sharpen.tracking.mlflow_evaluation import record_evaluation
from sharpen.tracking.wandb import WandbMirror

log = logging.getLogger("sharpen.tracking")


def tell(
    config: Config,
    cases: Sequence[Case],
    scores: Sequence[Score],
    version: ModelVersion,
    *,
    run: TrainingRun | None,
    means: Mapping[str, float],
    tags: Mapping[str, str] | None = None,
    serves: Deployment | None = None,
) -> list[str]:
    """Tell every tool that is turned on, and return where each was told. Twice is once.

    `scores` are of one suite, our own and outside evaluators'; `means` are the run's metrics, e.g. "target/challenger";
    `run` is None where the challenger was not trained here; `serves` moves MLflow's aliases.
    """
    settings, known = config.tracking, {case.id for case in cases}
    scores = [one for one in scores if one.case_id in known]  # what is said of a whole batch has no case to stand at
    askers: dict[str, Callable[[], str]] = {}
    if settings.mlflow:

        def mlflow() -> str:
            mirror = MlflowMirror(config.home)
            if run is not None:
                mirror.record_run(run, version, means, tags)
            for some in by_arm(scores).values():
                record_evaluation(mirror, cases, some)
            if serves is not None:
                mirror.set_aliases(serves.version_id, serves.previous_id)
            return mirror.uri

        askers["MLflow"] = mlflow
    if settings.wandb and run is not None:
        askers["Weights & Biases"] = lambda: str(WandbMirror(config.home).record_run(run, version, means, tags))
    if settings.langsmith and scores:
        askers["LangSmith"] = lambda: _langsmith(config, cases, scores)
    told = []
    for name, ask in askers.items():
        try:
            told.append(f"{name}: {ask()}")
        except SharpenError as error:
            log.warning("%s was not told: %s", name, error)
    return told


def by_arm(scores: Sequence[Score]) -> dict[tuple[str, str], list[Score]]:
    """Return the Scores of each evaluation and arm."""
    table: dict[tuple[str, str], list[Score]] = {}
    for one in scores:
        table.setdefault((one.evaluation_id, one.arm), []).append(one)
    return table


def _langsmith(config: Config, cases: Sequence[Case], scores: Sequence[Score]) -> str:
    settings = config.tracking
    mirror = LangSmithMirror(settings.langsmith, os.environ.get(settings.langsmith_key_env, ""))
    dataset_id = mirror.record_suite(scores[0].suite, cases)
    for some in by_arm(scores).values():
        mirror.record_experiment(dataset_id, cases, some)
    return settings.langsmith
