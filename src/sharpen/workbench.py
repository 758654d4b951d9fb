"""What a cycle works with: the configuration, the store, the model, the suites, and a way to measure.

In: a configuration. Out: the parts, each opened at its first use. Must not know the order of the stages.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.config import DEFAULT_PATH, Config, load
from sharpen.errors import BoundaryError, ConfigError, EngineError
from sharpen.evaluation.arms import BASE, CHALLENGER, CHAMPION, FIRST, IN_CONTEXT, Arm, in_context_examples
from sharpen.evaluation.cache import GenerationCache
from sharpen.evaluation.run import Evaluator
from sharpen.memory.recall import Recall
from sharpen.memory.search import Memories
from sharpen.memory.vectors import embedder_of
from sharpen.memory.words import asked
from sharpen.models.engine import Engine, Request
from sharpen.promotion.journal import Journal
from sharpen.promotion.refresh import renewed
from sharpen.promotion.registry import register_base
from sharpen.records import Case, Deployment, Example, Feedback, Memory, Message, ModelVersion, Score, Snapshot, Trace
from sharpen.store import Store
from sharpen.tracking.mlflow import MlflowMirror
from sharpen.verify.contamination import canary
from sharpen.verify.equipment import equip
from sharpen.verify.generators import GENERATOR
from sharpen.verify.suites import Suite, load_suite

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much
log = logging.getLogger("sharpen.workbench")
HELD_OUT = ("dev", "gate", "vault")
_WATCH = "take it out of [evaluation] suite and guards; load_suite(…) measures it"


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
            from sharpen.models.opening import open_engine

            self._engine = open_engine(self._config)
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
        self.turn = 1  # which cycle the suites are drawn for
        self._suites: dict[str, Suite] = {}  # as this turn asks them

    @classmethod
    def open(cls, path: Path | str = DEFAULT_PATH, on_progress: Progress = _silent) -> Self:
        """Open what a configuration file describes; the file may be empty. Raises: ConfigError, StoreError."""
        return cls(load(path), on_progress)

    def initialise(self) -> ModelVersion:
        """Write version 0, the bare base, and deploy it, if that is not done yet."""
        engine = self.engine
        version = register_base(self.store, self.journal, self.config.base, engine.base_digest, engine.template_digest)
        if self.config.tracking.mlflow:
            mirror = MlflowMirror(self.config.home)
            mirror.prepare()
            mirror.record_base(version)
        return version

    @cached_property
    def journal(self) -> Journal:
        """The signed log of every move of this deployment."""
        return Journal.open(self.config.home)

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

    def champion(self) -> tuple[Engine, str]:
        """Return the engine, ready to answer as the version that serves, and that version's id."""
        return self.engine, self.ready(self.store.champion().version_id).id

    # -- measuring -----------------------------------------------------------------------------------------------------

    @property
    def target(self) -> Suite:
        """The suite that the loop improves on. Raises: ConfigError when none is set."""
        if not self.config.evaluation.suite:
            raise ConfigError("[evaluation] suite is not set: nothing says what better means.", 'suite = "cases.jsonl"')
        return self._suite(self.config.evaluation.suite)

    @property
    def guards(self) -> list[Suite]:
        """The suites that must not get worse."""
        guards = [self._suite(spec) for spec in self.config.evaluation.guards]
        names = [self.target.name, *(guard.name for guard in guards)] if self.config.evaluation.suite else []
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"Two suites are named '{name}': their scores would mix.", "rename one of the files")
        return guards

    def _suite(self, spec: str) -> Suite:
        if spec not in self._suites:
            self._suites[spec] = self._loaded(spec)
        return self._suites[spec]

    def _loaded(self, spec: str) -> Suite:
        """Load a suite that decides. Raises: ConfigError when it may only be watched."""
        settings = self.config.evaluation
        for rubric, fault in self.advisers.items():
            log.info("The judge may only advise on %s: %s", rubric, fault)

        def draw(seed: int) -> Suite:
            return load_suite(spec, seed=seed, size=settings.size, data=settings.data_folder)

        suite, seed = draw(self.config.seed), self.config.seed
        if spec.startswith(GENERATOR):
            suite = renewed(suite, draw, share=self.config.promotion.refresh, cycle=self.turn, seed=seed)
        if suite.monitor:
            raise ConfigError(f"The suite '{suite.name}' is for watching only: it is too weak to decide on.", _WATCH)
        return suite

    @cached_property
    def advisers(self) -> dict[str, str]:
        """Register the scorers that need more than code; return, per rubric, why its judge may only advise."""
        return equip(self.config.evaluation, self.store, own=self.champion, embeddings=lambda: embedder_of(self.config))

    def begin_turn(self, turn: int) -> None:
        """Have the suites as the turn-th cycle asks them: a generator's gate cases are renewed."""
        if turn != self.turn:
            self.turn, self._suites = turn, {}

    def suite_digests(self) -> dict[str, str]:
        """Return the digest per suite: a suite that changed after training began shows here."""
        return {suite.name: suite.digest for suite in (self.target, *self.guards)}

    def mark_of(self, suite: str) -> str:
        """Return the canary that marks a suite of this deployment where it is published."""
        return canary(suite, self.journal.key_for("canaries"))

    def held_out(self) -> list[Case]:
        """Return every case that training must not see."""
        return [case for suite in (self.target, *self.guards) for case in suite.cases if case.tier in HELD_OUT]

    def measuring(self) -> frozenset[str]:
        """Return the questions that measure: what is said of them must not be remembered."""
        return frozenset(asked(case.messages) for case in self.held_out())

    def remember(self, memories: Sequence[Memory]) -> None:
        """Bring what was just kept into the vector index, where one is used. It is a copy: its loss is no failure."""
        if self.config.memory.recall == "words" or not memories:
            return
        index = Memories.of(self.config, self.store)
        try:
            index.add(memories)
        except BoundaryError as error:
            log.warning("Memories are kept, but not in the index: %s", error)
        finally:
            index.close()

    def arms(self, champion_id: str, challenger_id: str, snapshot_id: str) -> Iterator[tuple[Suite, list[Arm]]]:
        """Yield each suite with the arms that are measured on it, all on the same cases."""
        versions = {CHAMPION: champion_id, CHALLENGER: challenger_id}
        versions |= {BASE: self.base_version.id, FIRST: self.first_version_id}
        arms = [Arm(name, version_id) for name, version_id in versions.items()]
        self.cache.sweep(self.store)
        yield self.target, [*arms, self.in_context(snapshot_id)]
        for guard in self.guards:
            yield guard, arms

    @property
    def first_version_id(self) -> str:
        """The version that was deployed first, and never changes."""
        return self.store.find(Deployment, limit=1)[0].version_id

    def in_context(self, snapshot_id: str) -> Arm:
        """Return the arm that training must beat: the bare base with the same examples in its prompt."""
        snapshot, settings = self.store.get(Snapshot, snapshot_id), self.config.evaluation
        examples = self.store.find(Example, ids=snapshot.example_ids)
        if settings.in_context_by == "nearest":
            recall = Recall((one.messages, one.chosen) for one in examples if one.chosen is not None)
            return Arm(IN_CONTEXT, self.base_version.id, recall=recall, k=settings.in_context)
        shots = in_context_examples(examples, k=settings.in_context, seed=self.config.seed)
        return Arm(IN_CONTEXT, self.base_version.id, shots)

    def score(self, suite: Suite, tier: str, arm: Arm, evaluation_id: str) -> list[Score]:
        """Measure one arm on one tier of a suite; what is already measured is not measured again."""
        self.ready(arm.version_id)
        limit, seed = self.config.evaluation.max_new_tokens, self.config.seed
        evaluator = Evaluator(self.engine, self.store, max_new_tokens=limit, seed=seed, cache=self.cache)
        return evaluator.evaluate(suite, tier, arm, evaluation_id, self.report(f"{arm.name} on {suite.name}"))

    @cached_property
    def cache(self) -> GenerationCache:
        """What versions answered before. It forgets here what was erased from the store since."""
        cache = GenerationCache(self.config.home / "answers.db", self.config.evaluation.cache_bytes)
        cache.sweep(self.store)
        return cache

    def report(self, name: str) -> Callable[[int, int], None]:
        """Return a function that shows how far a named piece of work is."""
        return lambda done, total: self.on_progress(name, done, total)

    # -- talking -------------------------------------------------------------------------------------------------------

    def chat(self, prompt: str, session: str | None = None) -> Trace:
        """Ask the champion, without a gateway, and record the exchange."""
        messages = (Message(role="user", content=prompt),)
        engine, version_id = self.champion()
        started = time.perf_counter()
        answer = engine.generate([Request(messages, self.config.gateway.max_reply_tokens)], version_id)[0]
        seconds = time.perf_counter() - started
        return record_trace(
            self.store, messages=messages, generation=answer, version_id=version_id, session=session, latency_s=seconds
        )

    def feedback(self, trace: Trace, *, value: float | None = None, correction: str | None = None) -> Feedback:
        """Record what someone thinks of an answer: a rating from -1 to 1, what it should have been, or both."""
        return record_feedback(self.store, trace_id=trace.id, rating=value, correction=correction)
