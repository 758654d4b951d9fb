"""Start a trainer child, watch it, and record what it made.

In: a Snapshot's rows and the configuration. Out: a TrainingRun and the ModelVersion it gave. Must not import torch: a
crash or an out-of-memory in training stays in the child.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sharpen.children import bound_environment
from sharpen.config import Config
from sharpen.durable import write_text
from sharpen.errors import TrainerError
from sharpen.failpoints import failpoint
from sharpen.models.adapters import is_whole
from sharpen.records import ModelVersion, Snapshot, TrainingRun, content_hash
from sharpen.store import Store
from sharpen.training import processes
from sharpen.training.choice import choose_method
from sharpen.training.constraints.plan import make_plan
from sharpen.training.job import REPORTED, Job, Recipe, Result, resolve, write_json
from sharpen.training.prompts import Drawn
from sharpen.training.rows import usable

Progress = Callable[[int, int], None]  # steps done, steps in all


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
    result = _finished(folder, config.adapters)
    if result is None:
        job = Job(
            base=base.resolve(),
            base_digest=parent.base_digest,
            rows=folder / "rows.jsonl",
            adapters=config.adapters.resolve(),
            drawn=drawn,
            recipe=recipe,
        )
        result = _run_child(config, folder, job, rows, on_progress)
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


def _run_child(config: Config, folder: Path, job: Job, rows: list[dict[str, Any]], on_progress: Progress) -> Result:
    folder.mkdir(parents=True, exist_ok=True)
    config.adapters.mkdir(parents=True, exist_ok=True)
    write_text(job.rows, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    write_json(folder / "job.json", job)
    attempt, problem = 0, ""
    for _ in range(config.training.attempts):
        attempt += 1
        for leftover in config.adapters.glob(".training-*"):  # of a killed child; only one cycle runs at a time
            shutil.rmtree(leftover, ignore_errors=True)
        failpoint("train.before_child")
        code, problem = _attempt(folder, job.recipe, config.training.timeout_s, on_progress)
        result = _finished(folder, config.adapters)
        if result is not None:
            return result
        if code == REPORTED:
            break
    raise TrainerError(
        f"The trainer child failed (attempt {attempt} of {config.training.attempts}): it {problem}.",
        f"read {folder / 'child.log'}; then `sharpen cycle` goes on from the last finished step",
    )


def _attempt(folder: Path, recipe: Recipe, timeout_s: float, on_progress: Progress) -> tuple[int, str]:
    """Run the child once. Returns its exit status, and how it ended in words."""
    command = processes.command(recipe, folder / "job.json")
    path = os.pathsep.join([*processes.parts(recipe), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = bound_environment(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", PYTHONPATH=path)
    with (
        (folder / "child.log").open("ab") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True, errors="replace"
        ) as child,
    ):
        late = threading.Event()

        def end() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout_s, end)
        timer.start()
        said = ""
        try:
            for line in child.stdout or ():
                said = _listen(line, on_progress) or said
            code = child.wait()
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
    if said:
        return code, f"said: {said}"
    if late.is_set():
        return code, f"was ended after [training] timeout_s = {timeout_s:g} seconds"
    if code < 0:
        return code, f"was killed by signal {-code} (9 is often: out of memory)"
    return code, f"ended with status {code}"


def _listen(line: str, on_progress: Progress) -> str:
    """Read one line of the child's; returns the error it tells, if it tells one."""
    try:
        told = json.loads(line)
    except ValueError:
        return ""  # a library printed something
    if not isinstance(told, dict):
        return ""
    if "step" in told:
        on_progress(told["step"], told["of"])
    return str(told.get("error", ""))


def _finished(folder: Path, adapters: Path) -> Result | None:
    """Return the Result if the child wrote one and its adapter is in place."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    result = Result.model_validate_json(path.read_text())
    return result if is_whole(adapters / result.adapter_digest) else None


def _parameters(base: Path) -> int:
    """Estimate the base's parameter count from the size of its weights, at the precision its config names."""
    try:
        settings = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"The base in {base} cannot be read: {error}", "sharpen doctor") from error
    precision = settings.get("dtype") or settings.get("torch_dtype") or "float32"  # the older name of the key
    bytes_each = 4 if precision == "float32" else 2
    return sum(file.stat().st_size for file in base.glob("*.safetensors")) // bytes_each
