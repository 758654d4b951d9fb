"""Start a trainer child, watch it, and record what it made.

In: a Snapshot's rows and the configuration. Out: a TrainingRun and the ModelVersion it gave. Must not import torch: a
crash or an out-of-memory in training stays in the child.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sharpen.config import Config
from sharpen.errors import TrainerError
from sharpen.failpoints import failpoint
from sharpen.records import ModelVersion, Snapshot, TrainingRun, content_hash
from sharpen.store import Store
from sharpen.training import processes
from sharpen.training.child import Ears, Progress, finished, run_child
from sharpen.training.choice import choose_method
from sharpen.training.constraints.plan import make_plan
from sharpen.training.job import Job, resolve
from sharpen.training.prompts import Drawn
from sharpen.training.rows import usable

Metrics = Callable[[str, int, dict[str, float]], None]  # the run's id, a step, what was measured there


def train(
    config: Config,
    store: Store,
    snapshot: Snapshot,
    rows: list[dict[str, Any]],
    *,
    base: Path,
    parent: ModelVersion,
    seed: int,
    prompts: Sequence[dict[str, Any]] = (),
    drawn: Drawn | None = None,
    on_progress: Progress = lambda done, total: None,
    on_metrics: Metrics = lambda run_id, step, metrics: None,
) -> tuple[TrainingRun, ModelVersion]:
    """Train an adapter on the snapshot and record it. Doing it twice is doing it once.

    `base` is the folder of the frozen base's weights; `parent` the version that served when the cycle began. `prompts`
    are what a verifier can grade answers to, `drawn` the generator that does, where it is one.
    Raises: TrainerError when the rows are nothing to train on, or the child said what is wrong, or failed `[training]
    attempts` times.
    """
    method, reason = choose_method(config.training.method, rows, prompts, snapshot.counts)
    rows, dropped = usable(rows, prompts, method)
    recipe = resolve(config, method, _parameters(base), seed)
    processes.check(recipe)
    if recipe.fairness is not None:
        make_plan(rows, recipe)  # the child makes it again; what has nothing to hold on to is refused before one starts
    graded = [row for row in rows if "scorer" in row]
    asked = content_hash([graded, drawn and drawn.model_dump()]) if graded else ""
    run_id = f"run_{content_hash((snapshot.id, recipe.model_dump(), parent.base_digest, asked))}"
    folder = config.home / "runs" / run_id
    result = finished(folder, config.adapters)
    if result is None:
        job = Job(
            base=base.resolve(),
            base_digest=parent.base_digest,
            rows=folder.resolve() / "rows.jsonl",
            adapters=config.adapters.resolve(),
            drawn=drawn,
            recipe=recipe,
            references=(config.home / "references" / f"{parent.base_digest}.json").resolve(),
            memory_bytes=config.training.memory_bytes,
            checkpoint_s=config.training.checkpoint_s,
        )
        ears = Ears(on_progress, lambda step, metrics: on_metrics(run_id, step, metrics))
        result = run_child(config, folder, job, rows, ears)
    run = TrainingRun(
        id=run_id,
        snapshot_id=snapshot.id,
        method=method,
        reason=reason,
        dropped=dropped | result.dropped,
        recipe=recipe.model_dump(),
        seed=seed,
        adapter_digest=result.adapter_digest,
        metrics=result.metrics,
        seconds=result.seconds,
        model_seconds=result.model_seconds,
    )
    version = ModelVersion(
        id=f"ver_{content_hash((parent.base_digest, result.adapter_digest, parent.template_digest))}",
        base=parent.base,
        base_digest=parent.base_digest,
        adapter_digest=result.adapter_digest,
        template_digest=parent.template_digest,
        parent=parent.id,
        run_id=run_id,
    )
    failpoint("train.before_write")
    known = store.find(ModelVersion, ids=[version.id])
    # The same weights may have been reached from another snapshot before: the version keeps its first history.
    store.append(run, *([] if known else [version]))
    failpoint("train.after_write")
    return run, known[0] if known else version


def _parameters(base: Path) -> int:
    """Estimate the base's parameter count from the size of its weights, at the precision its config names."""
    try:
        settings = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"The base in {base} cannot be read: {error}", "sharpen doctor") from error
    precision = settings.get("dtype") or settings.get("torch_dtype") or "float32"  # the older name of the key
    bytes_each = 4 if precision == "float32" else 2
    return sum(file.stat().st_size for file in base.glob("*.safetensors")) // bytes_each
