"""A small deployment that is ready to learn, and a way to run its cycle in a process that may be killed.

The base is a random model of under a million parameters; everything else is the real thing: store, ledger, engine,
trainer child, gate. The task is one that such a model can learn: always say "yes".
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.config import Config, load, parse, render
from sharpen.errors import SharpenError
from sharpen.ledger import unfinished
from sharpen.loop import Loop
from sharpen.models.engine import Generation
from sharpen.records import Deployment, Score, Verdict
from sharpen.store import Store
from sharpen.testing import tiny_model

CYCLE_S = 240  # far more than a cycle takes, so that a hang is a failure and not a wait


def build(folder: Path, store_url: str = "") -> Path:
    """Make the deployment: base, suite, store with version 0, exchanges and feedback. Returns the configuration."""
    words = [line for line in Path(__file__).with_name("words.txt").read_text().split() if line]
    chance = random.Random(7)
    rows = [
        {"prompt": " ".join(chance.sample(words, 5)), "reference": "yes", "choices": ["yes", "no"], "tier": tier}
        for tier, count in (("train", 24), ("gate", 20))
        for _ in range(count)
    ]
    (folder / "suite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = tiny_model(folder / "base", texts=[*(row["prompt"] for row in rows), "yes no"] * 20)
    config = parse(
        {
            "base": str(base),
            "pace": "demo",
            "home": str(folder / "state"),
            "store": store_url,
            "models": {"threads": 1},
            "critique": {"rounds": 1, "samples": 1, "max_new_tokens": 4},
            "training": {"epochs": 12.0, "learning_rate": 0.01, "attempts": 2},
            "evaluation": {"suite": "suite.jsonl", "max_new_tokens": 4, "in_context": 2},
            "tracking": {"mlflow": False},
        }
    )
    path = folder / "sharpen.toml"
    path.write_text(render(config.model_copy(update={"home": Path("state"), "base": "base"})))
    loop = Loop(load(path))
    version = loop.initialise()
    for index, case in enumerate(loop.target.tier("train")):
        reply = Generation("who knows", 9, 2, "stop")
        trace = record_trace(
            loop.store, messages=case.messages, generation=reply, version_id=version.id, trace_id=f"trc_{case.id}"
        )
        correction = "yes" if index % 2 == 0 else None
        record_feedback(loop.store, trace_id=trace.id, rating=-1, correction=correction, key=case.id)
    loop.engine.close()
    loop.store.close()
    return path


def copy(source: Path, target: Path) -> Path:
    """Copy a deployment; the copy's configuration is the same, for its paths are relative."""
    shutil.copytree(source.parent, target)
    return target / source.name


# A fork of a process that has imported everything starts in a moment; it imports torch but never runs it.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["sharpen.loop", "sharpen.models.transformers_engine", "sharpen.critique.refine", "peft", "dbos", "langgraph.graph"]
)


def start(config: Path, failpoint: str | None = None, *, file_bytes: int | None = None) -> ForkServerProcess:
    """Start a cycle in a process of its own, to be killed at a failpoint or by hand.

    `file_bytes` is where its disk is full, for this process and its children: no file grows beyond it.
    """
    process = _FORKS.Process(target=_run, args=(str(config), failpoint, file_bytes))
    process.start()
    return process


def _run(config: str, failpoint: str | None, file_bytes: int | None) -> None:
    os.environ.pop("SHARPEN_FAILPOINT", None)
    if failpoint:
        os.environ["SHARPEN_FAILPOINT"] = failpoint
    with Path(config).with_name("said.txt").open("a") as said:
        sys.stdout = sys.stderr = said
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        try:
            cycle = Loop.open(config).cycle()
        except SharpenError as error:
            said.write(str(error))
            said.flush()
            os._exit(1)
    Path(config).with_name("decision.txt").write_text(cycle.verdict.decision if cycle.verdict else "none")


def wait(process: ForkServerProcess) -> int:
    """Wait for the process's end and return its exit status; negative is the signal that killed it."""
    process.join(CYCLE_S)
    assert process.exitcode is not None, "the cycle hangs"
    return process.exitcode


def finish(config: Path) -> str:
    """Run the cycle to its end and return the decision."""
    said = config.with_name("said.txt")
    assert wait(start(config)) == 0, said.read_text()[-4000:]
    return config.with_name("decision.txt").read_text()


def is_over(config: Path) -> bool:
    """Tell whether the first pass has ended, whoever was killed after that."""
    settings = load(config)
    store = Store.open(settings.store_url)
    decided = store.count(Verdict) > 0
    store.close()
    return decided and not unfinished(f"sqlite:///{settings.home / 'ledger.db'}")


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass(frozen=True)
class End:
    """What a cycle left behind, without what the clock measured."""

    records: str
    adapters: tuple[str, ...]
    deployments: int
    verdicts: int
    scores: int


def end_of(config: Path) -> End:
    """Read a deployment's end."""
    settings: Config = load(config)
    store = Store.open(settings.store_url)
    adapters = sorted(folder.name for folder in settings.adapters.iterdir())
    end = End(store.digest(), tuple(adapters), store.count(Deployment), store.count(Verdict), store.count(Score))
    store.close()
    return end
