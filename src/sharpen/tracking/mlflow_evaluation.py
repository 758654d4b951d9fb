"""Our Scores put through MLflow's own evaluation: metrics, a table of every answer, and the data set they belong to.

In: rows of what was asked, answered and scored. Out: an MLflow run in the same database as the mirror's. Must not know
the store. The values are ours; MLflow aggregates them and shows them beside each other.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sharpen.errors import TrackerError
from sharpen.records import Case, Score
from sharpen.tracking.mlflow import NAME, MlflowMirror, library
from sharpen.tracking.refusal import refusals_of

_TAG = "sharpen.evaluation"


def record_evaluation(mirror: MlflowMirror, cases: Sequence[Case], scores: Sequence[Score]) -> str:
    """Evaluate one arm's answers in MLflow and return the run's id. Done twice, it is there once.

    `scores` are of one arm on one suite; several scorers become several metrics, each the mean of what was scored.
    Raises: TrackerError when MLflow, its database or the disk refuses; MissingExtra without MLflow.
    """
    first = scores[0]
    name = f"{first.suite} {first.arm} {first.version_id} {first.evaluation_id}"
    columns, names = _columns(cases, scores)
    with refusals_of("MLflow", "the store is not touched", mirror.uri), _pointed_at(mirror.uri):
        mlflow, client = library("mlflow"), library("mlflow.tracking").MlflowClient(mirror.uri, mirror.uri)
        experiment = client.get_experiment_by_name(NAME)
        if experiment is None:
            raise TrackerError(f"MLflow does not know the experiment '{NAME}'.", "sharpen init")
        known = client.search_runs([experiment.experiment_id], f"tags.`{_TAG}` = '{first.evaluation_id} {first.arm}'")
        finished = [run for run in known if run.info.status == "FINISHED"]
        if finished:
            return str(finished[0].info.run_id)
        for run in known:  # cut off half way
            client.delete_run(run.info.run_id)
        tags = {_TAG: f"{first.evaluation_id} {first.arm}", "sharpen.version_id": first.version_id}
        run_id = client.create_run(experiment.experiment_id, tags=tags, run_name=name).info.run_id
        with mlflow.start_run(run_id=run_id):
            _evaluate(columns, names)
        return str(run_id)


def _evaluate(columns: Mapping[str, list[Any]], names: Sequence[str]) -> None:
    frame = library("pandas").DataFrame(dict(columns))
    models = library("mlflow.models")
    metrics = [
        models.make_metric(
            eval_fn=_metric(list(columns[name])), greater_is_better=True, name=name.replace(":", ".").replace("/", ".")
        )
        for name in names
    ]
    models.evaluate(data=frame, predictions="reply", targets="reference", extra_metrics=metrics, evaluators="default")


def _metric(values: list[float | None]) -> Any:
    """Return a metric of MLflow's over values that are known already; what is unscored is left out of the mean."""

    def measured(predictions: Any, targets: Any, metrics: Any) -> Any:
        known = [value for value in values if value is not None]
        means = {"mean": math.fsum(known) / len(known)} if known else {}
        shares = {"scored_share": len(known) / len(values)}
        return library("mlflow.metrics").MetricValue(scores=values, aggregate_results=means | shares)

    return measured


def _columns(cases: Sequence[Case], scores: Sequence[Score]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return a table's columns, one row per case that has a Score, and the names of the scorers."""
    names = sorted({one.scorer for one in scores})
    table: dict[str, dict[str, Score]] = {}
    for one in scores:
        table.setdefault(one.case_id, {})[one.scorer] = one
    asked = [case for case in cases if case.id in table]
    columns: dict[str, list[Any]] = {
        "case": [case.id for case in asked],
        "question": [case.messages[-1].content for case in asked],
        "reference": [case.reference for case in asked],
        "reply": [next(iter(table[case.id].values())).reply or "" for case in asked],
    }
    for name in names:
        columns[name] = [table[case.id][name].value if name in table[case.id] else None for case in asked]
    return columns, names


@contextlib.contextmanager
def _pointed_at(uri: str) -> Iterator[None]:
    """Have MLflow's process-wide state name our database while an evaluation runs, and be quiet about it."""
    mlflow, log = library("mlflow"), logging.getLogger("mlflow")
    before, level = mlflow.get_tracking_uri(), log.level
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    mlflow.set_tracking_uri(uri)
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        log.setLevel(level)
