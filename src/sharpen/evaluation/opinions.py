"""Ask the outside evaluators of `[evaluation] outside` about the answers of the last evaluation.

In: the store, the target suite, a judge. Out: Scores, stored in evaluations of their own, and who gave none, and why.
Must not decide anything on them. What is in the store already is not asked again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sharpen.config import Config
from sharpen.errors import ConfigError, NotFound, SharpenError
from sharpen.evaluation import deepchecks, promptfoo
from sharpen.evaluation.arms import CHALLENGER, CHAMPION
from sharpen.evaluation.outside import answers_of
from sharpen.evaluation.ragas import Ragas
from sharpen.models.embeddings import SentenceEmbedder
from sharpen.records import Example, ModelVersion, Score, Snapshot, TrainingRun, Verdict, content_hash
from sharpen.store import ERASED, Store
from sharpen.verify.judge import Judge
from sharpen.verify.suites import Suite

ARMS = (CHAMPION, CHALLENGER)


@dataclass(frozen=True)
class Opinions:
    """What was said of one evaluation: by our own scorers, by outside evaluators, and who could not be asked."""

    verdict: Verdict
    own: tuple[Score, ...]
    outside: tuple[Score, ...]
    failed: dict[str, SharpenError]


def ask(config: Config, store: Store, suite: Suite, judge: Callable[[], Judge]) -> Opinions:
    """Have every evaluator look at champion and challenger on the target, and keep what it says.

    An evaluator that fails is named in `failed`; the others go on. Raises: NotFound before the first evaluation.
    """
    verdict, own = last_evaluation(store, suite)
    askers: dict[str, Callable[[], list[Score]]] = {
        "ragas": lambda: _ragas(config, own, suite, judge()),
        "deepchecks": lambda: [*_deepchecks(own, suite), *training_sets(store, verdict, own[0].evaluation_id)],
        "promptfoo": lambda: _promptfoo(config, verdict, own, suite),
    }
    outside: list[Score] = []
    failed: dict[str, SharpenError] = {}
    for name in config.evaluation.outside:
        known = store.find(Score, subjects=[f"{own[0].evaluation_id}_{name}"])
        try:
            said = known or askers[name]()
        except SharpenError as error:
            failed[name] = error
            continue
        store.append(*said)
        outside += said
    return Opinions(verdict, tuple(own), tuple(outside), failed)


def last_evaluation(store: Store, suite: Suite) -> tuple[Verdict, list[Score]]:
    """Return the newest Verdict that compared anything, and champion's and challenger's Scores on the suite behind it.

    Raises: NotFound when there is none.
    """
    for verdict in store.find(Verdict, newest=True):
        # The loop names an evaluation by its cycle and its challenger.
        name = f"evl_{content_hash((verdict.cycle_id, verdict.challenger_id, 'gate'))}"
        scores = store.find(Score, subjects=[name])
        own = [one for one in scores if one.suite == suite.name and one.arm in ARMS]
        if own:
            return verdict, own
    raise NotFound(f"Nothing was evaluated on {suite.name} yet.", "sharpen cycle")


def _ragas(config: Config, own: list[Score], suite: Suite, judge: Judge) -> list[Score]:
    model: Any = judge.model
    if not hasattr(model, "ainvoke"):
        raise ConfigError(f"RAGAS needs a LangChain chat model; {judge.name} has no `ainvoke`.", "[evaluation] judge")
    embedder = SentenceEmbedder(config.memory.embeddings)
    return Ragas(model, embedder, at_once=judge.at_once).score(answers_of(own, suite))


def _deepchecks(own: list[Score], suite: Suite) -> list[Score]:
    answers = answers_of(own, suite)
    batches = {arm: [one for one in answers if one.place.arm == arm] for arm in ARMS}
    if not all(batches.values()):
        raise NotFound(
            "Deepchecks compares the challenger with the champion; one of them has no answers.", "sharpen cycle"
        )
    champion, challenger = (deepchecks.of_answers(batches[arm]) for arm in ARMS)
    return deepchecks.look(challenger, champion)


def training_sets(store: Store, verdict: Verdict, evaluation_id: str) -> list[Score]:
    """Have Deepchecks look at what the challenger learned from, for drift from what the champion did.

    Empty where the challenger learned nothing; without a champion's set only repeats are looked for.
    Raises: MissingExtra; BoundaryError.
    """
    current, reference = (_training_set(store, name) for name in (verdict.challenger_id, verdict.champion_id))
    if current is None:
        return []
    place = replace(current.place, evaluation_id=evaluation_id)  # beside what was said of the answers
    return deepchecks.look(replace(current, place=place), reference)


def _training_set(store: Store, version_id: str) -> deepchecks.Batch | None:
    """Return what a version learned from; None for the bare base, and where its records are not here."""
    run_ids = [version.run_id for version in store.find(ModelVersion, ids=[version_id]) if version.run_id]
    runs = store.find(TrainingRun, ids=run_ids) if run_ids else []
    snapshots = store.find(Snapshot, ids=[run.snapshot_id for run in runs]) if runs else []
    if not snapshots:
        return None
    examples = {one.id: one for one in store.find(Example, ids=snapshots[0].example_ids)}
    learned = [examples[name] for name in snapshots[0].example_ids if examples[name].chosen != ERASED]
    return deepchecks.of_snapshot(snapshots[0], learned, version_id)


def _promptfoo(config: Config, verdict: Verdict, own: list[Score], suite: Suite) -> list[Score]:
    """Ask through the gateway, which must be running: `sharpen serve`."""
    gateway, evaluation_id = config.gateway, own[0].evaluation_id
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    versions = dict(zip(ARMS, (verdict.champion_id, verdict.challenger_id), strict=True))
    path = promptfoo.write_config(
        config.home / "promptfoo" / evaluation_id,
        suite,
        own[0].tier,
        url=f"http://{host}:{gateway.port}/v1",
        versions=versions,
        max_new_tokens=config.evaluation.max_new_tokens,
    )
    output = promptfoo.run(path.resolve(), api_key=os.environ.get(gateway.api_key_env) or "unused")
    return promptfoo.read_scores(output, suite, own[0].tier, evaluation_id, versions)
