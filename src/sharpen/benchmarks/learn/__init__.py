"""Does it learn, and how well? Every method on two tasks, within the same CPU seconds, beside plain TRL scripts.

In: the weights, tasks, methods, seeds, a budget. Out: a row per task, arm and seed with its held-out score, and how the
method that `auto` takes stands to the plain scripts. Must not know which arm ought to win: nulls are rows too.

The arms are the base as it is, the base with the nearest examples in its prompt, our methods with the product's own
recipe, and TRL's trainers with their own defaults. What is finished is kept in a folder: a stopped run goes on.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sharpen import console
from sharpen.benchmarks import machine
from sharpen.benchmarks.learn import plain
from sharpen.benchmarks.learn.arms import AUTO, BASE, IN_CONTEXT, PLAIN, UNTRAINED, Bench, row_of
from sharpen.benchmarks.learn.tasks import NAMES, VERSION, Task, open_task
from sharpen.config import SMOLLM2, ModelsSection
from sharpen.errors import ConfigError
from sharpen.stats import paired_difference
from sharpen.training.choice import choose_method
from sharpen.verify.cases import Tier

SEEDS, BUDGET_S, CASES = 3, 90.0, 140
OFF_POLICY, ON_POLICY = ("sft", "dpo", "kto", "rpo"), ("ppo", "grpo", "rloo")
ON_POLICY_TASK = "gym"  # one is enough: the base says no team's name, so that nothing is found to learn from
FOLDER = Path(".sharpen") / "bench" / "learn"
TOLERATED = 0.02  # Source: the promise, "not worse than the best plain script by more than 2 points"


def measure(
    base: str = SMOLLM2,
    *,
    seeds: int = SEEDS,
    budget_s: float = BUDGET_S,
    cases: int = CASES,
    tier: Tier = "vault",
    tasks: Sequence[str] = NAMES,
    methods: Sequence[str] = (*OFF_POLICY, *ON_POLICY),
    folder: Path = FOLDER,
) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when base or method is not there; MissingExtra."""
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.models.weights import digest, resolve

    unknown = {*methods} - {*OFF_POLICY, *ON_POLICY} | {*tasks} - {*NAMES}
    if unknown:
        raise ConfigError(f"There is no method or task '{min(unknown)}'.", ", ".join((*OFF_POLICY, *ON_POLICY, *NAMES)))
    weights = resolve(base)
    bench = Bench(weights, digest(weights), folder, budget_s, cases, tier)
    engine = TransformersEngine(weights, ModelsSection(threads=bench.threads))
    engine.load(VERSION, None)
    opened = [open_task(name, engine, folder) for name in tasks]
    engine.close()
    rows = list(compare(bench, opened, methods, seeds))
    return {
        "benchmark": "learn",
        "base": base,
        "budget_cpu_s": budget_s,
        "tier": tier,
        "auto": {task.name: choose_method("auto", task.rows, task.prompts)._asdict() for task in opened},
        "rows": [{key: value for key, value in row.items() if key != "values"} for row in rows],
        "promise": [promise(task.name, [row for row in rows if row["task"] == task.name]) for task in opened],
        "machine": machine("torch", "transformers", "trl", "peft") | {"threads": bench.threads},
    }


def arms_of(task: str, methods: Sequence[str]) -> list[str]:
    """Return the arms that are trained on a task: ours, and the plain script of each."""
    ours = [name for name in methods if name in OFF_POLICY or task == ON_POLICY_TASK]
    return ours + [PLAIN + name for name in ours if name in plain.METHODS]


def compare(bench: Bench, tasks: Sequence[Task], methods: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Yield a row per task, arm and seed, and say how far it is."""
    planned = [
        (task, arm, seed)
        for seed in range(seeds)
        for task in tasks
        for arm in (*(UNTRAINED if seed == 0 else ()), *arms_of(task.name, methods))
    ]
    started_s, measured = time.monotonic(), 0
    for done, (task, arm, seed) in enumerate(planned, 1):
        before_s = time.monotonic()
        row = row_of(bench, task, arm, seed)
        measured += time.monotonic() - before_s > 1.0  # a kept row is read in less
        left_s = (len(planned) - done) * (time.monotonic() - started_s) / max(1, measured) if measured else 0.0
        console.err.print(
            f"{done}/{len(planned)}  {arm} on {task.name}, seed {seed}: {row['score']:.1%}  "
            f"about {left_s / 60:.0f} min left"
        )
        yield row
        if arm == choose_method("auto", task.rows, task.prompts).method:
            yield row | {"arm": AUTO}


def promise(task: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how `auto` stands to the plain scripts on a task, paired by case, the seeds averaged."""
    values: defaultdict[str, list[list[float]]] = defaultdict(list)
    for row in rows:
        values[row["arm"]].append(row["values"])
    means = {arm: [statistics.fmean(case) for case in zip(*runs, strict=True)] for arm, runs in values.items()}
    scripts = {arm: statistics.fmean(each) for arm, each in means.items() if arm.startswith(PLAIN)}
    if AUTO not in means or not scripts:
        return {"task": task, "kept": None}
    best = max(scripts, key=lambda arm: scripts[arm])
    own, middle = statistics.fmean(means[AUTO]), statistics.median(scripts.values())
    found = paired_difference(means[AUTO], means[best])
    others = {
        arm: round(own - statistics.fmean(means[arm]), 4) for arm in (BASE, IN_CONTEXT) if arm in means
    }  # fmt: skip
    return {
        "task": task,
        "auto": round(own, 4),
        "best_plain": best,
        "difference": {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)},
        "over_median_plain": round(own - middle, 4),
        "over": others,
        "kept": bool(found.value >= -TOLERATED and own > middle),
    }
