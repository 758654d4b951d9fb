"""The trainer child: `python -m sharpen.training.worker job.json`.

In: a Job file. Out: an adapter in a folder named by its digest, a Result file, and progress lines on stdout. Must not
know the store, so that nothing it does can hurt what is recorded.
"""

from __future__ import annotations

import gc
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sharpen.children import die_with_parent
from sharpen.durable import sync
from sharpen.errors import SharpenError, TrainerError
from sharpen.failpoints import failpoint
from sharpen.models import adapters
from sharpen.models.families import prepare
from sharpen.training.fit import fit
from sharpen.training.job import OUT_OF_MEMORY, REPORTED, Job, Recipe, Result, write_json
from sharpen.training.long_runs.memory_bound import bound, ran_out
from sharpen.training.methods import builder
from sharpen.training.processes import is_first

# What a method reports of itself: DPO and its kin, KTO, and those that are graded while they train.
LEARNED = frozenset({"loss", "reward", "kl", "rewards/margins", "rewards/accuracies"})

# Methods whose loss on rows that were held out says how good they are; the others' losses are about their own samples.
JUDGED_BY_LOSS = frozenset({"sft", "dpo", "rpo", "kto"})


def main(path: str) -> int:
    """Run the job. Returns 0 when the Result file is written, REPORTED when the fault was told on stdout."""
    started = time.perf_counter()
    die_with_parent()
    job = Job.model_validate_json(Path(path).read_text())
    bound(job.memory_bytes)
    try:
        result = run(job, started)
    except SharpenError as error:
        print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201 - stdout is the channel to the parent
        return REPORTED
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        print(json.dumps({"out_of_memory": str(error)}), flush=True)  # noqa: T201 - the same
        return OUT_OF_MEMORY
    failpoint("train.before_result")
    if is_first():
        write_json(Path(path).with_name("result.json"), result)
    return 0


def run(job: Job, started: float) -> Result:
    """Train and put the adapter in its place. Raises: TrainerError when there is nothing sensible to save."""
    import torch
    from transformers import set_seed
    from transformers.utils import logging

    from sharpen.training.spread import gather, leave, shared_mean

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if job.recipe.threads:
        torch.set_num_threads(job.recipe.threads)
    rows = [json.loads(line) for line in job.rows.read_text(encoding="utf-8").split("\n") if line]
    set_seed(job.recipe.seed)
    model, tokenizer = _base(job)
    rows, dropped = fit(rows, tokenizer, job.recipe)
    scratch = Path(tempfile.mkdtemp(prefix=".training-", dir=job.adapters))
    try:
        trainer = _builder(job.recipe)(job, model, tokenizer, rows, str(scratch / "trainer"))
        watch, checkpoint = _watch(job, trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        metrics = watch.finish() | ({"portion": float(job.portion)} if job.portion else {})
        metrics["train_loss"] = shared_mean(metrics["train_loss"])
        learned = first_and_last(trainer.state.log_history)
        told = trainer.constraint_metrics() if job.recipe.fairness is not None else {}
        whole = gather(trainer, job)
        digest = _save(trainer.model, scratch / "adapter", job, whole) if is_first() else ""
        leave()
        del trainer, model, whole
        gc.collect()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Result(
        adapter_digest=digest,
        metrics=metrics | learned | told,
        dropped=dropped,
        seconds=time.perf_counter() - started,
        model_seconds=watch.course.seconds,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _base(job: Job) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sharpen.training.adapters import loading, make_trainable

    how = loading(job)
    try:
        tokenizer = AutoTokenizer.from_pretrained(job.base, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            job.base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **how
        )
    except Exception as error:  # damaged files fail in as many ways as there are parsers
        raise TrainerError(f"The base in {job.base} could not be loaded: {error}", "sharpen doctor") from error
    prepare(tokenizer, model.config.model_type)
    return make_trainable(job, model), tokenizer


def first_and_last(history: list[dict[str, Any]]) -> dict[str, float]:
    """Return what the method itself measured, as it was in its first and its last report."""
    found: dict[str, float] = {}
    for entry in history:
        for key in LEARNED & {*entry}:
            name = key.replace("/", "_")
            found.setdefault(f"first_{name}", float(entry[key]))
            found[f"last_{name}"] = float(entry[key])
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _builder(recipe: Recipe) -> Any:
    if recipe.fairness is None:
        return builder(recipe.method)
    from sharpen.training.constraints import building

    return building.build


def _watch(job: Job, trainer: Any) -> tuple[Any, str | None]:
    """Have someone watch over the run; returns the watch, and the checkpoint to go on from, if there is one."""
    from sharpen.training.long_runs import checkpoints
    from sharpen.training.long_runs.dev import hold_out
    from sharpen.training.long_runs.watch import Watch

    is_alone = job.recipe.launch == "single"
    # A constrained loss is weighed anew at each step: a dev set's would not compare, and twins would be torn apart.
    is_judged = job.recipe.method in JUDGED_BY_LOSS and job.recipe.fairness is None
    if is_alone and job.recipe.dev_share and is_judged:
        trainer.train_dataset, trainer.eval_dataset = hold_out(trainer.train_dataset, job.recipe.dev_share)
    home = job.rows.parent / "checkpoints"
    watch = Watch(trainer, home, every_s=job.checkpoint_s if is_alone else math.inf, patience=job.recipe.patience)
    trainer.add_callback(watch)
    checkpoint = checkpoints.newest(home) if is_alone else None
    if checkpoint is None:
        return watch, None
    checkpoints.make_resumable(trainer)
    watch.take_up(checkpoint)
    return watch, str(checkpoint)


def _save(model: Any, folder: Path, job: Job, gathered: Any = None) -> str:
    """Write the adapter to its place and return its digest. Raises: TrainerError when the disk refuses."""
    from safetensors import SafetensorError

    from sharpen.training.adapters import write

    try:
        write(model, folder, job, gathered)
        digest = adapters.digest(folder)
        failpoint("train.before_rename")
        _place(folder, job.adapters / digest)
    except (OSError, SafetensorError) as error:
        raise TrainerError(
            f"The adapter cannot be written to {job.adapters}: {error}", "check the disk's space, then `sharpen cycle`"
        ) from error
    failpoint("train.after_rename")
    return digest


def _place(source: Path, target: Path) -> None:
    """Move the finished folder to its name; the same content may already be there."""
    if target.exists():
        if adapters.is_whole(target):
            return
        shutil.rmtree(target)  # damaged since it was made
    for path in (*source.iterdir(), source):
        sync(path)
    source.rename(target)
    sync(target.parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
