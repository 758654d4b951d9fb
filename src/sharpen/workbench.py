"""What a cycle works with: the configuration, the store, the model, the suites, and a way to measure.

In: a configuration. Out: the parts, each opened at its first use. Must not know the order of the stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.config import DEFAULT_PATH, Config, load
from sharpen.errors import ConfigError, EngineError
from sharpen.evaluation.arms import CHALLENGER, CHAMPION, IN_CONTEXT, Arm, in_context_examples
from sharpen.evaluation.run import evaluate
from sharpen.memory.recall import Recall
from sharpen.models.engine import Engine, Request
from sharpen.promotion.registry import register_base
from sharpen.records import Case, Example, Feedback, Message, ModelVersion, Score, Snapshot, Trace
from sharpen.store import Store
from sharpen.tracking.mlflow import MlflowMirror
from sharpen.verify.suites import Suite, load_suite

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much
HELD_OUT = ("dev", "gate", "vault")


def _silent(name: str, done: int, total: int) -> None:
    """Show nothing."""


class Model:
    """The in-process engine, loaded at the first use; freed while a trainer child needs the memory more."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._engine: Engine | None = None
        self._spent_s = 0.0

    @property
    def engine(self) -> Engine:
        """The engine. Raises: ConfigError, EngineError."""
        if self._engine is None:
            from sharpen.models.transformers_engine import TransformersEngine

            self._engine = TransformersEngine.open(self._config)
        return self._engine

    @property
    def seconds(self) -> float:
        """Seconds spent inside the model so far."""
        return self._spent_s + (self._engine.model_seconds if self._engine else 0.0)

    def free(self) -> None:
        """Give the memory back; the next use loads the weights again."""
        if self._engine is not None:
            self._spent_s += self._engine.model_seconds
            self._engine.close()
            self._engine = None


class Workbench:
    """One deployment's parts. Several may share one `model`, where they share the base."""

    def __init__(self, config: Config, on_progress: Progress = _silent, model: Model | None = None) -> None:
        self.config = config
        self.store = Store.open(config.store_url)
        self.on_progress = on_progress
        self.model = model or Model(config)

    @classmethod
    def open(cls, path: Path | str = DEFAULT_PATH, on_progress: Progress = _silent) -> Self:
        """Open what a configuration file describes; the file may be empty. Raises: ConfigError, StoreError."""
        return cls(load(path), on_progress)

    def initialise(self) -> ModelVersion:
        """Write version 0, the bare base, and deploy it, if that is not done yet."""
        engine = self.engine
        version = register_base(self.store, self.config.base, engine.base_digest, engine.template_digest)
        if self.config.tracking.mlflow:
            mirror = MlflowMirror(self.config.home)
            mirror.prepare()
            mirror.record_base(version)
        return version

    # -- the model -----------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The in-process engine."""
        return self.model.engine

    @cached_property
    def base_folder(self) -> Path:
        """The folder of the base's weights."""
        from sharpen.models.weights import resolve

        return resolve(self.config.base)

    @property
    def base_version(self) -> ModelVersion:
        """Version 0."""
        return next(version for version in self.store.find(ModelVersion) if version.adapter_digest is None)

    def ready(self, version_id: str) -> ModelVersion:
        """Have the engine ready to answer as this version. Raises: EngineError when it belongs to another base."""
        version = self.store.get(ModelVersion, version_id)
        if version.base_digest != self.engine.base_digest:
            raise EngineError(
                f"Version '{version_id}' was trained on other weights than base = '{self.config.base}'.",
                f"set base = '{version.base}', or a new `home` and sharpen init",
            )
        self.engine.load(version.id, self.config.adapters / version.adapter_digest if version.adapter_digest else None)
        return version

    # -- measuring -----------------------------------------------------------------------------------------------------

    @cached_property
    def target(self) -> Suite:
        """The suite that the loop improves on. Raises: ConfigError when none is set."""
        if not self.config.evaluation.suite:
            raise ConfigError("[evaluation] suite is not set: nothing says what better means.", 'suite = "cases.jsonl"')
        return self._suite(self.config.evaluation.suite)

    @cached_property
    def guards(self) -> list[Suite]:
        """The suites that must not get worse."""
        return [self._suite(spec) for spec in self.config.evaluation.guards]

    def _suite(self, spec: str) -> Suite:
        return load_suite(spec, seed=self.config.seed, size=self.config.evaluation.size)

    def held_out(self) -> list[Case]:
        """Return every case that training must not see."""
        return [case for suite in (self.target, *self.guards) for case in suite.cases if case.tier in HELD_OUT]

    def arms(self, champion_id: str, challenger_id: str, snapshot_id: str) -> Iterator[tuple[Suite, list[Arm]]]:
        """Yield each suite with the arms that the gate compares on it."""
        both = [Arm(CHAMPION, champion_id), Arm(CHALLENGER, challenger_id)]
        yield self.target, [*both, self.in_context(snapshot_id)]
        for guard in self.guards:
            yield guard, both

    def in_context(self, snapshot_id: str) -> Arm:
        """Return the arm that training must beat: the bare base with the same examples in its prompt."""
        snapshot, settings = self.store.get(Snapshot, snapshot_id), self.config.evaluation
        examples = self.store.find(Example, ids=snapshot.example_ids)
        if settings.in_context_by == "nearest":
            recall = Recall((example.messages, example.chosen) for example in examples)
            return Arm(IN_CONTEXT, self.base_version.id, recall=recall, k=settings.in_context)
        shots = in_context_examples(examples, k=settings.in_context, seed=self.config.seed)
        return Arm(IN_CONTEXT, self.base_version.id, shots)

    def score(self, suite: Suite, tier: str, arm: Arm, evaluation_id: str) -> list[Score]:
        """Measure one arm on one tier of a suite; what is already measured is not measured again."""
        self.ready(arm.version_id)
        return evaluate(
            self.engine,
            self.store,
            suite,
            tier,
            arm,
            evaluation_id=evaluation_id,
            max_new_tokens=self.config.evaluation.max_new_tokens,
            seed=self.config.seed,
            on_progress=self.report(f"{arm.name} on {suite.name}"),
        )

    def report(self, name: str) -> Callable[[int, int], None]:
        """Return a function that shows how far a named piece of work is."""
        return lambda done, total: self.on_progress(name, done, total)

    # -- talking -------------------------------------------------------------------------------------------------------

    def chat(self, prompt: str, session: str | None = None) -> Trace:
        """Ask the champion, without a gateway, and record the exchange."""
        messages = (Message(role="user", content=prompt),)
        version = self.ready(self.store.champion().version_id)
        started = time.perf_counter()
        answer = self.engine.generate([Request(messages, self.config.gateway.max_reply_tokens)], version.id)[0]
        seconds = time.perf_counter() - started
        return record_trace(
            self.store, messages=messages, generation=answer, version_id=version.id, session=session, latency_s=seconds
        )

    def feedback(self, trace: Trace, *, value: float | None = None, correction: str | None = None) -> Feedback:
        """Record what someone thinks of an answer: a rating from -1 to 1, what it should have been, or both."""
        return record_feedback(self.store, trace_id=trace.id, rating=value, correction=correction)
