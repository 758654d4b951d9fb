"""One trainer child after another, until there is a Result: started, listened to, ended in time.

In: a Job. Out: its Result, or an error that says how the child ended. Must not import torch: a crash or an
out-of-memory in training stays in the child.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.children import bound_environment
from sharpen.config import Config
from sharpen.durable import write_text
from sharpen.errors import TrainerError
from sharpen.failpoints import failpoint
from sharpen.models.adapters import is_whole
from sharpen.training import processes
from sharpen.training.job import OUT_OF_MEMORY, REPORTED, Job, Recipe, Result, write_json

log = logging.getLogger("sharpen.training")

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Ears:
    """Who is told what the child says."""

    on_progress: Progress
    on_metrics: Callable[[int, dict[str, float]], None]

    def listen(self, line: str) -> str:
        """Hear one line of the child's; returns the error it tells, if it tells one."""
        try:
            told = json.loads(line)
        except ValueError:
            return ""  # a library printed something
        if not isinstance(told, dict):
            return ""
        if "step" in told:
            self.on_progress(told["step"], told["of"])
        if "metrics" in told:
            self.on_metrics(told["at"], told["metrics"])
        return str(told.get("error", told.get("out_of_memory", "")))


def run_child(config: Config, folder: Path, job: Job, rows: list[dict[str, Any]], ears: Ears) -> Result:
    """Run children in `folder` until one gives a Result: after a kill again, after an out-of-memory with less at once.

    Raises: TrainerError when a child said what is wrong, or failed `[training] attempts` times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config.adapters.mkdir(parents=True, exist_ok=True)
    write_text(job.rows, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    attempt, problem = 0, ""
    while attempt < config.training.attempts:
        write_json(folder / "job.json", job)
        for leftover in config.adapters.glob(".training-*"):  # of a killed child; only one cycle runs at a time
            shutil.rmtree(leftover, ignore_errors=True)
        failpoint("train.before_child")
        killed_before = _kernel_kills()
        code, problem = _attempt(folder, job.recipe, config.training.timeout_s, ears)
        result = finished(folder, config.adapters)
        if result is not None:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            return result
        less = smaller(job)
        if code == OUT_OF_MEMORY or (code == -signal.SIGKILL and _kernel_kills() > killed_before):
            if less is None:
                raise TrainerError(
                    f"The trainer child ran out of memory with one row at a time: it {problem}.",
                    "lower [training] max_length, take a smaller base, or raise [training] memory_bytes if it is set",
                )
            log.warning("The trainer child ran out of memory; it goes on with %d rows at a time.", less.portion)
            job = less  # this says nothing about the next attempt, so it is none
            continue
        attempt += 1
        if code == REPORTED:
            break
    raise TrainerError(
        f"The trainer child failed (attempt {attempt} of {config.training.attempts}): it {problem}.",
        f"read {folder / 'child.log'}; then `sharpen cycle` goes on from the last finished step",
    )


def smaller(job: Job) -> Job | None:
    """Return the job with half as many rows at a time, or None where it is one row already.

    The portion divides the batch, so that every step still learns from all of it.
    """
    most = (job.portion or job.recipe.batch) // 2
    portion = next((size for size in range(most, 0, -1) if job.recipe.batch % size == 0), None)
    return None if portion is None else job.model_copy(update={"portion": portion})


def _kernel_kills() -> int:
    """Return how many processes of ours the kernel has ended for want of memory, where it counts them for us.

    Source: cgroup v2, memory.events, oom_kill.
    """
    try:
        words = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0))


def _attempt(folder: Path, recipe: Recipe, timeout_s: float, ears: Ears) -> tuple[int, str]:
    """Run the child once. Returns its exit status, and how it ended in words."""
    command = processes.command(recipe, folder / "job.json")
    path = os.pathsep.join([*processes.parts(recipe), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = bound_environment(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", PYTHONPATH=path)
    with (
        (folder / "child.log").open("ab") as log_file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log_file, env=environment, text=True, errors="replace"
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
                said = ears.listen(line) or said
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


def finished(folder: Path, adapters: Path) -> Result | None:
    """Return the Result if the child wrote one and its adapter is in place."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    result = Result.model_validate_json(path.read_text())
    return result if is_whole(adapters / result.adapter_digest) else None
