"""The cycle: serve → capture → critique → curate → train → evaluate → promote, as durable steps.

In: what the gateway has recorded. Out: a Verdict, and a Deployment if the challenger earned it. This is the only place
that knows the order. No stage calls another: each reads records and writes records, and the facts that pass between
steps here are ids.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from functools import cached_property, partial

from sharpen.court import Court
from sharpen.critique.flow import critique
from sharpen.curation.emphasis import emphasised
from sharpen.curation.features import described
from sharpen.curation.snapshot import build_snapshot, to_rows
from sharpen.errors import BiasFound, ChampionChanged, ConfigError, Refused
from sharpen.evaluation.arms import CHALLENGER, CHAMPION, IN_CONTEXT
from sharpen.ledger import Facts, Ledger, Step
from sharpen.memory.context import Context
from sharpen.memory.keep import keep_critiques, keep_feedback, keep_promoted
from sharpen.memory.vectors import embedder_of
from sharpen.models.engine import Engine
from sharpen.promotion.gate import hold
from sharpen.promotion.plan import plan_of
from sharpen.promotion.registry import enter
from sharpen.promotion.rollout import ship
from sharpen.promotion.sequential import front, looks
from sharpen.records import (
    Cycle,
    Feedback,
    ModelVersion,
    Score,
    Snapshot,
    StageTime,
    TrainingRun,
    Verdict,
    Vital,
    content_hash,
)
from sharpen.tracking.live import Live
from sharpen.tracking.mirrors import tell
from sharpen.training.launch import train
from sharpen.training.prompts import drawn_from, prompts

log = logging.getLogger("sharpen.loop")
TOLD = (CHALLENGER, CHAMPION, IN_CONTEXT)  # arms whose every answer other tools are shown


class Loop(Court):
    """A deployment that improves from its own use."""

    @cached_property
    def stages(self) -> dict[str, Step]:
        """The steps of a cycle, in order. Serving and capture go on all the time, in the gateway."""
        return {
            "critique": self._timed("critique", self._critique),
            "curate": self._timed("curate", self._curate),
            "train": self._timed("train", self._train),
            "evaluate": self._timed("evaluate", self._evaluate),
            "promote": self._timed("promote", self._promote),
            "track": self._timed("track", self._track),
        }

    def _critique(self, facts: Facts) -> Facts:
        """Look at every answer again; find better ones where a verifier can tell."""
        context = Context.of(self.config, self.store)
        try:
            critiques = critique(
                self.config,
                self.store,
                self.engine,
                self.target,
                cycle_id=facts["cycle_id"],
                version_id=self.ready(facts["champion_id"]).id,
                on_progress=self.report("critique"),
                tools=context.tools,
                around=context.around,
            )
            context.learn(critiques)
        finally:
            context.close()
        tenant, measuring = self.config.memory.tenant, self.measuring()
        self.remember(keep_critiques(self.store, critiques, tenant=tenant, without=measuring))
        if self.config.curation.corrections:
            said = self.store.find(Feedback)
            self.remember(keep_feedback(self.store, said, tenant=tenant, without=measuring))
        return {"critiques": len(critiques), "revised": sum(one.revision is not None for one in critiques)}

    def _curate(self, facts: Facts) -> Facts:
        """Build the training set from corrections, verified answers and revisions."""
        settings = self.config.mining
        try:
            snapshot = build_snapshot(
                self.store,
                settings,
                facts["cycle_id"],
                self.held_out(),
                self.config.seed,
                embedding=lambda: embedder_of(self.config),
                folder=self.config.home / "curation",
                emphasise=partial(emphasised, self.config, self.store),
                describe=partial(described, self.config, bare=self._bare),
            )
        except BiasFound as found:
            return {"snapshot_id": None, "hold": found.what}
        if snapshot is None:
            return {"snapshot_id": None, "hold": f"there are fewer than {settings.min_examples} examples to learn from"}
        return {"snapshot_id": snapshot.id}

    def _bare(self) -> tuple[Engine, str]:
        """Return the engine, ready to answer as the bare base, and that version's id."""
        return self.engine, self.ready(self.base_version.id).id

    def _train(self, facts: Facts) -> Facts:
        """Turn the training set into an adapter on the frozen base. What the gate will ask is declared before."""
        if facts["snapshot_id"] is None:
            return {"version_id": facts["champion_id"], "run_id": None}
        plan = plan_of(self.config.promotion, self.suite_digests())
        snapshot = self.store.get(Snapshot, facts["snapshot_id"])
        run, version = self.train_on(snapshot, parent_id=facts["champion_id"])
        return {"version_id": version.id, "run_id": run.id, "model_seconds": run.model_seconds, "plan": plan}

    def _evaluate(self, facts: Facts) -> Facts:
        """Measure champion, challenger and the in-context arm on the gate's cases."""
        if facts["version_id"] == facts["champion_id"]:
            return {"evaluation_id": None, "hold": facts.get("hold", "training gave the champion's own weights again")}
        evaluation_id = f"evl_{content_hash((facts['cycle_id'], facts['version_id'], 'gate'))}"
        compared = list(self.arms(facts["champion_id"], facts["version_id"], facts["snapshot_id"]))
        waiting = frozenset(suite.name for suite, _ in compared)
        for share in looks(self.designs.values()):
            for suite, arms in compared:
                for arm in arms if suite.name in waiting else ():
                    self.score(front(suite, "gate", share), "gate", arm, evaluation_id)
            waiting = self.waiting(facts, evaluation_id) if share < 1 else frozenset()
            if not waiting:
                break
        page = [one.model_dump(mode="json") for one in self.vitals(facts, evaluation_id)]
        return {"evaluation_id": evaluation_id, "vitals": page}

    def _promote(self, facts: Facts) -> Facts:
        """Put the challenger before the gate, and deploy it if it passes."""
        cycle_id, champion_id, challenger_id = facts["cycle_id"], facts["champion_id"], facts["version_id"]
        earlier = self.tested(cycle_id)
        names = {"cycle_id": cycle_id, "champion_id": champion_id, "challenger_id": challenger_id}
        attempt = len(earlier) + 1
        if facts["evaluation_id"] is None:
            verdict = hold(**names, attempt=attempt, reason=facts["hold"])
        else:
            scores = self.store.find(Score, subjects=[facts["evaluation_id"]])
            page = [Vital.model_validate(one) for one in facts.get("vitals", ())]
            plan = facts.get("plan")
            verdict = self.judge(scores, attempt=attempt, earlier=earlier, plan=plan, vitals=page, **names)
        if verdict.decision == "promote":
            verdict = self.published(verdict)
        enter(self.store, self.journal, verdict)
        deployed = verdict.decision == "promote" and self._ship(verdict)
        if deployed:
            snapshot = self.store.get(Snapshot, facts["snapshot_id"])
            self.remember(keep_promoted(self.store, snapshot, verdict, tenant=self.config.memory.tenant))
        return {"verdict_id": verdict.id, "deployed": deployed}

    def _ship(self, verdict: Verdict) -> bool:
        """Carry a verdict out; not if somebody else deployed since it was reached: it says nothing about that one."""
        canary = self.config.promotion.canary
        try:
            ship(self.store, self.journal, verdict, verdict.challenger_id, canary=canary)
        except ChampionChanged as error:
            log.warning("%s was not deployed: %s", verdict.challenger_id, error)
            return False
        return True

    def _track(self, facts: Facts) -> Facts:
        """Tell the tools of [tracking]. They mirror what the store owns: is one away, the cycle is no worse for it."""
        if facts["run_id"] is None:
            return {"tracked": []}
        verdict = self.store.get(Verdict, facts["verdict_id"])
        scores = self.store.find(Score, subjects=[facts["evaluation_id"]]) if facts["evaluation_id"] else []
        told = tell(
            self.config,
            self.target.cases,
            [one for one in scores if one.suite == self.target.name and one.arm in TOLD],
            self.store.get(ModelVersion, facts["version_id"]),
            run=self.store.get(TrainingRun, facts["run_id"]),
            means=verdict.means,
            tags={"verdict": verdict.decision, "cycle": facts["cycle_id"]},
            serves=self.store.champion(),
        )
        return {"tracked": told}

    def train_on(self, snapshot: Snapshot, *, parent_id: str) -> tuple[TrainingRun, ModelVersion]:
        """Train an adapter on a snapshot, in a child process; our own model makes room for it."""
        rows, settings = to_rows(self.store, snapshot), self.config.evaluation
        self.model.free()
        live = Live(self.config.home, is_on=self.config.tracking.mlflow)
        made = train(
            self.config,
            self.store,
            snapshot,
            rows,
            base=self.base_folder,
            parent=self.store.get(ModelVersion, parent_id),
            seed=self.config.seed,
            prompts=prompts(self.target, rows) if settings.suite else (),
            drawn=drawn_from(settings.suite, seed=self.config.seed, size=settings.size),
            on_progress=self.report("train"),
            on_metrics=live,
        )
        live.flush()
        return made

    # -- one pass ------------------------------------------------------------------------------------------------------

    def cycle(self, until: str | None = None, for_s: float = float("inf")) -> Cycle:
        """Run one pass, or go on with the one that was interrupted.

        `until` names the stage after which to stop; after `for_s` seconds no further stage is begun. Raises: Refused
        when another process runs a cycle; and whatever a stage raised, with the pass kept: the next call goes on from
        the last finished step.
        """
        if until is not None and until not in self.stages:
            raise ConfigError(f"There is no stage '{until}'.", f"one of {', '.join(self.stages)}")
        champion = self.store.champion()
        with self.alone(), Ledger(self.config.ledger_url, self.stages) as ledger:
            passes = ledger.passes()
            unfinished = [one for one, is_finished in passes.items() if not is_finished]
            cycle_id = unfinished[0] if unfinished else f"cycle-{len(passes) + 1:04d}"
            self.begin_turn(int(cycle_id.rpartition("-")[2]))
            # A pass that goes on keeps the champion it began with: the ledger has it, and ignores what is given here.
            begun = {"cycle_id": cycle_id, "champion_id": champion.version_id}
            facts = ledger.go(cycle_id, begun, until=until, for_s=for_s)
            return self._view(facts, ledger.finished_steps(cycle_id))

    def _view(self, facts: Facts, steps: dict[str, Facts]) -> Cycle:
        verdict = self.store.get(Verdict, facts["verdict_id"]) if "verdict_id" in facts else None
        return Cycle(
            id=facts["cycle_id"],
            state="done" if len(steps) == len(self.stages) else "running",
            champion_id=facts["champion_id"],
            snapshot_id=facts.get("snapshot_id"),
            version_id=facts.get("version_id"),
            verdict=verdict,
            deployed=facts.get("deployed", False),
            stages=tuple(
                StageTime(stage=name, seconds=given["seconds"], model_seconds=given["model_seconds"])
                for name, given in steps.items()
            ),
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cycle's lock; the kernel gives it back when we die."""
        self.config.home.mkdir(parents=True, exist_ok=True)
        with (self.config.home / "cycle.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Refused(
                    "Another process is running a cycle here.", "wait for it, or end it, then try again"
                ) from error
            yield

    def _timed(self, name: str, step: Step) -> Step:
        """Measure a step: its wall-clock seconds, and those inside the model here or in the trainer child."""

        def run(facts: Facts) -> Facts:
            started, before = time.perf_counter(), self.model.seconds
            self.on_progress(name, 0, 0)
            given = step(facts)
            self.on_progress(name, 1, 1)
            model_seconds = given.get("model_seconds", 0.0) + self.model.seconds - before
            return given | {"seconds": time.perf_counter() - started, "model_seconds": model_seconds}

        return run
