"""A mirror of runs and versions in MLflow, for people who look there.

In: TrainingRuns, ModelVersions, scores. Out: an MLflow database in `home`. Must not know the store, which alone decides
what serves: the mirror may be deleted, and whoever calls it carries on when it fails.

Everything is written through `MlflowClient`: the fluent API would look for git, conda and system metrics. A model
version's source is the adapter's folder as it lies there; nothing is pickled or copied. Every call finds what an
earlier one left behind, so a call that was killed half way is finished by the next.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sharpen.config import Config
from sharpen.errors import SharpenError, TrackerError
from sharpen.plugins import part
from sharpen.records import Deployment, ModelVersion, TrainingRun
from sharpen.tracking.refusal import refusals_of

log = logging.getLogger("sharpen.tracking")

NAME = "sharpen"  # of the experiment and of the registered model
_VERSION_TAG = "sharpen.version_id"
_RUN_TAG = "sharpen.run_id"
_MOST_METRICS = 1000  # in one call. Source: MLflow, "Log Batch", REST API
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class MlflowMirror:
    """Our runs and versions, as MLflow shows them: `mlflow ui --backend-store-uri sqlite:///HOME/mlflow.db`.

    Raises: MissingExtra without MLflow. TrackerError when MLflow, its database or the disk refuses.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._database = self._home / "mlflow.db"
        self._opened: Any = None

    @property
    def uri(self) -> str:
        """The tracking address."""
        return _address(self._database)

    @property
    def exists(self) -> bool:
        """Whether there is a database to write to."""
        return self._database.exists()

    def prepare(self) -> None:
        """Create MLflow's database, or upgrade it after an update of MLflow; takes seconds, so it belongs to init."""
        with self._guard():
            self._home.mkdir(parents=True, exist_ok=True)
            upgrade = library("mlflow.db").upgrade.callback
            if self._database.exists():
                upgrade(self.uri)
            else:
                self._create(upgrade)
            self._experiment(self._client())

    def record_base(self, version: ModelVersion) -> str:
        """Mirror the bare base and return its number; it has no run and no files of ours."""
        with self._guard():
            return self._register(self._client(), version, f"{NAME}-base:{version.base_digest}", None)

    def record_run(
        self,
        run: TrainingRun,
        version: ModelVersion,
        scores: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Mirror a run and the version it made; return the version's number. Done twice, it is there once.

        `scores` become metrics beside the run's own, named as given, e.g. "target/challenger".
        """
        with self._guard():
            client, ends_ms = self._client(), int(run.at.timestamp() * 1000)
            entities = library("mlflow.entities")
            experiment = self._experiment(client)
            labels = {_VERSION_TAG: version.id, _RUN_TAG: run.id, "sharpen.snapshot_id": run.snapshot_id}
            starts_ms = ends_ms - int(run.seconds * 1000)
            known = self._find(client, _VERSION_TAG, version.id) or self._find(client, _RUN_TAG, run.id)
            mirrored = known or client.create_run(experiment, starts_ms, labels, version.id)
            run_id = mirrored.info.run_id
            metrics = dict(run.metrics) | {"seconds": run.seconds, "model_seconds": run.model_seconds} | dict(scores)
            recipe = run.recipe | {"method": run.method, "seed": run.seed}
            client.log_batch(
                run_id,
                # The run's own time, not now: MLflow then knows a value that it was told before.
                [entities.Metric(key, float(value), ends_ms, 0) for key, value in metrics.items()],
                [entities.Param(key, str(value)) for key, value in recipe.items()],
                # A run that was mirrored while it trained has no name of a version yet.
                [entities.RunTag(key, value) for key, value in (labels | dict(tags or {})).items()],
            )
            client.set_terminated(run_id, "FINISHED", ends_ms)
            return self._register(client, version, str(self._home / "adapters" / str(version.adapter_digest)), run_id)

    def record_progress(self, run_id: str, measured: Sequence[tuple[int, int, Mapping[str, float]]]) -> None:
        """Mirror what a run that is still going on measured: (step, milliseconds since 1970, numbers)."""
        with self._guard():
            client = self._client()
            metric = library("mlflow.entities").Metric
            known = self._find(client, _RUN_TAG, run_id)
            experiment = self._experiment(client)
            run = known or client.create_run(experiment, measured[0][1], {_RUN_TAG: run_id}, run_id)
            told = [
                metric(name, float(value), at_ms, step)
                for step, at_ms, numbers in measured
                for name, value in numbers.items()
            ]
            for first in range(0, len(told), _MOST_METRICS):
                client.log_batch(run.info.run_id, told[first : first + _MOST_METRICS])

    def set_aliases(self, champion: str, previous: str | None) -> None:
        """Point MLflow's aliases "champion" and "previous" at these version ids; None takes the alias away."""
        with self._guard():
            client = self._client()
            for alias, version_id in (("champion", champion), ("previous", previous)):
                if version_id is None:
                    client.delete_registered_model_alias(NAME, alias)
                    continue
                number = self._number(client, version_id)
                if number is None:
                    raise TrackerError(f"MLflow does not know version '{version_id}'.", "sharpen init, then try again")
                client.set_registered_model_alias(NAME, alias, number)

    def _find(self, client: Any, tag: str, value: str) -> Any:
        """Return the run with this tag, or None."""
        found = client.search_runs([self._experiment(client)], f"tags.`{tag}` = '{value}'", max_results=1)
        return found[0] if found else None

    def _create(self, upgrade: Any) -> None:
        """Build the database beside its place, then move it there: its many migrations are not one transaction."""
        with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=self._home) as folder:
            fresh = Path(folder) / "mlflow.db"
            upgrade(_address(fresh))
            with contextlib.suppress(FileExistsError):  # another process was faster; its database is as good
                os.link(fresh, self._database)

    def _client(self) -> Any:
        if self._opened is None:
            self._check()
            client = library("mlflow.tracking").MlflowClient
            self._opened = client(tracking_uri=self.uri, registry_uri=self.uri)
        return self._opened

    def _check(self) -> None:
        """Fail at once on a database that cannot be read: MLflow would try again for 100 seconds."""
        if not self._database.exists():
            raise TrackerError(f"There is no {self._database}.", "sharpen init")
        with contextlib.closing(sqlite3.connect(self._database, timeout=20)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")

    def _experiment(self, client: Any) -> str:
        """Return the experiment's id; make it and the registered model where they are missing."""
        if not client.search_registered_models(f"name = '{NAME}'"):
            self._make(client.create_registered_model, NAME)
        found = client.get_experiment_by_name(NAME)
        if found is None:
            self._make(client.create_experiment, NAME, (self._home / "mlflow-artifacts").as_uri())
            found = client.get_experiment_by_name(NAME)
        return str(found.experiment_id)

    @staticmethod
    def _make(create: Any, *arguments: str) -> None:
        """Create something that another process may be creating too."""
        try:
            create(*arguments)
        except library("mlflow.exceptions").MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _number(self, client: Any, version_id: str) -> str | None:
        found = client.search_model_versions(f"name = '{NAME}' and tags.`{_VERSION_TAG}` = '{version_id}'")
        return str(found[0].version) if found else None

    def _register(self, client: Any, version: ModelVersion, source: str, run_id: str | None) -> str:
        number = self._number(client, version.id)
        if number is None:
            made = client.create_model_version(
                NAME,
                source,
                run_id,
                tags={_VERSION_TAG: version.id, "sharpen.base": version.base},
                description=f"{version.id} on {version.base}",
            )
            number = str(made.version)
        return number

    def _guard(self) -> AbstractContextManager[None]:
        remedy = "the store is not touched; delete mlflow.db and run sharpen init, or set [tracking] mlflow = false"
        return refusals_of("MLflow", remedy, self._database)


def follow(settings: Config, deployment: Deployment) -> None:
    """Move the aliases after a Deployment that no cycle made. Never raises: what fails is a warning in the log."""
    mirror = MlflowMirror(settings.home)
    if not settings.tracking.mlflow:
        if mirror.exists:
            log.warning("MLflow was not told that %s serves: [tracking] mlflow = false.", deployment.version_id)
        return
    try:
        mirror.set_aliases(deployment.version_id, deployment.previous_id)
    except SharpenError as error:
        log.warning("MLflow was not told that %s serves: %s", deployment.version_id, error)


def library(module: str) -> Any:
    """Import a part of MLflow, told beforehand to keep quiet and to call nobody."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    return part(module)


def _address(database: Path) -> str:
    return f"sqlite:///{database}"
