"""`sharpen run`: begin a cycle whenever one is due, each in a process of its own.

In: a configuration file. Out: cycles, and a line for each thing that was decided. Must not know what a cycle does.

A cycle that crashes or is killed for memory takes nothing with it: the next look goes on from its last finished stage.
After a failure it waits longer each time, so that a broken disk is not met a thousand times a night.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sharpen.children import bound_environment
from sharpen.config import Config, load
from sharpen.errors import BoundaryError
from sharpen.ledger import history
from sharpen.records import Deployment, Feedback
from sharpen.schedule import Turn, turn
from sharpen.store import Store

_LONGEST_WAIT_S = 3600.0  # chosen: whatever broke, somebody may have mended it an hour later
Say = Callable[[str], None]


def keep(path: Path, say: Say, *, once: bool = False, sleep: Callable[[float], None] = time.sleep) -> int:
    """Look, run what is due, look again, for ever; with `once` at most one cycle. Returns the last cycle's status.

    The file is read anew at each look, so that a changed budget counts at once. Raises: ConfigError; StoreError and
    BoundaryError with `once`, which otherwise are said and tried again.
    """
    failures, last = 0, ""
    while True:
        config, status = load(path), 0
        try:
            found = look(config)
            if found.why != last:
                say(("A cycle begins: " if found.go else "Waiting: ") + found.why + ".")
            last = "" if found.go else found.why
            status = _cycle(path, found.for_s) if found.go else 0
        except BoundaryError as error:
            if once:
                raise
            say(str(error))
            status = 1
        failures = failures + 1 if status else 0
        if once:
            return status
        wait_s = min(config.run.look_s * 2**failures, _LONGEST_WAIT_S) if failures else config.run.look_s
        if failures:
            say(f"The cycle ended with status {status}; nothing is lost. It is tried again in {wait_s:.0f} s.")
        sleep(wait_s)


def look(config: Config, now: datetime | None = None) -> Turn:
    """Tell whether a cycle is due now. Raises: NotFound before `sharpen init`; StoreError, BoundaryError."""
    store = Store.open(config.store_url)
    try:
        store.champion()
        deployed = store.find(Deployment, limit=1)[0].at
        newest = store.find(Feedback, newest=True, limit=max(config.run.min_feedback, 1))
    finally:
        store.close()
    said = [one.at for one in newest]
    return turn(config.run, history(config.ledger_url), said, deployed=deployed, now=now or datetime.now(UTC))


def _cycle(path: Path, for_s: float) -> int:
    """Run one cycle as a child that dies with this process; its output is ours."""
    command = [sys.executable, "-m", "sharpen.cli", "cycle", "--config", str(path)]
    if for_s != float("inf"):
        command += ["--hours", f"{for_s / 3600:.6f}"]
    return subprocess.run(command, env=bound_environment(), check=False).returncode
