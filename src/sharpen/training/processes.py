"""Several trainer processes on one machine: `python -m sharpen.training.processes job.json`.

In: a Job file whose recipe names `processes`. Out: that many `sharpen.training.worker`, each with its rank; the first
speaks to the parent. Must not import torch: it only waits, and ends them all when one fails.

Torch's own launcher is not used because its agent stands between us and the workers: a killed loop would leave them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from sharpen.children import bound_environment, die_with_parent
from sharpen.errors import ConfigError
from sharpen.install import overlay
from sharpen.training.job import Job, Recipe

_PATIENCE_S = 10.0  # chosen: when one process has failed, the others get this long to say why
_LOOK_S = 0.05
SPREAD = ("sft", "dpo", "rpo")  # the methods whose two processes were compared with one


def check(recipe: Recipe) -> None:
    """Refuse what cannot be spread over processes as it is configured, before a child is started.

    Raises: ConfigError, MissingExtra.
    """
    if recipe.launch == "single":
        if recipe.processes > 1:
            raise ConfigError(
                f"[training] processes = {recipe.processes} with launch = 'single'.", "launch = 'accelerate'"
            )
        parts(recipe)
        return
    if recipe.batch % recipe.processes:
        raise ConfigError(
            f"[training] batch = {recipe.batch} cannot be shared by {recipe.processes} processes.",
            f"batch = {recipe.batch + recipe.processes - recipe.batch % recipe.processes}",
        )
    alone = "adapter = 'qlora'" if recipe.adapter == "qlora" else f"method = '{recipe.method}'"
    if recipe.adapter == "qlora" or recipe.method not in SPREAD:
        raise ConfigError(f"[training] {alone} trains in one process here.", "launch = 'single'")
    parts(recipe)


def parts(recipe: Recipe) -> list[str]:
    """Return the folders that a child needs on its path for this recipe. Raises: MissingExtra."""
    found = overlay("qlora") if recipe.adapter == "qlora" else []
    return found + (overlay("deepspeed") if recipe.launch.startswith("deepspeed") else [])


def command(recipe: Recipe, job: Path) -> list[str]:
    """Return how the child for this job is started."""
    module = "worker" if recipe.launch == "single" else "processes"
    return [sys.executable, "-m", f"sharpen.training.{module}", str(job)]


def main(path: str) -> int:
    """Run the workers. Returns 0 when all ended well, else the status of the first that failed."""
    die_with_parent()
    count = Job.model_validate_json(Path(path).read_text()).recipe.processes
    port = _free_port()
    workers = []
    for rank in range(count):
        environment = bound_environment(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(count),
            LOCAL_WORLD_SIZE=str(count),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        # Only the first speaks to the parent; what the others print goes to the log.
        out = None if rank == 0 else sys.stderr
        workers.append(
            subprocess.Popen([sys.executable, "-m", "sharpen.training.worker", path], env=environment, stdout=out)
        )
    try:
        return _wait(workers)
    finally:
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.kill()
            worker.wait()


def _wait(workers: list[subprocess.Popen[bytes]]) -> int:
    deadline = float("inf")
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [code for code in codes if code]
        if failed:
            deadline = min(deadline, time.monotonic() + _PATIENCE_S)
        if None not in codes or time.monotonic() > deadline:
            # The first process is the one that tells: its status says whether it did.
            code = codes[0] or (failed[0] if failed else 0)
            return code if code >= 0 else 128 - code  # as a shell tells a signal
        time.sleep(_LOOK_S)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_first() -> bool:
    """Tell whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
