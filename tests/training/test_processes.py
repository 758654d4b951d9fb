"""Work spread over processes gives what one process gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from sharpen.config import parse
from sharpen.errors import ConfigError, MissingExtra
from sharpen.install import install
from sharpen.models import adapters
from sharpen.models.weights import digest
from sharpen.training import processes
from sharpen.training.job import REPORTED, Job, Recipe, Result, resolve, write_json
from tests.conformance import record

WORDS = ["billing", "delivery", "sales"]
CLOSE = 1e-5  # of weights and losses; the order of additions is all that differs


def job_of(base: Path, folder: Path, **more: Any) -> Job:
    folder.mkdir()
    rows = [
        {"messages": [{"role": "user", "content": f"question number {i}"}], "chosen": WORDS[i % 3], "rejected": "no"}
        for i in range(8)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "adapters").mkdir()
    settings = {
        "method": "sft", "epochs": 3, "rank": 4, "alpha": 8, "learning_rate": 0.01, "batch": 4, "max_length": 64,
        "beta": 0.1, "seed": 0, "threads": 1,
    } | more  # fmt: skip
    job = Job(
        base=base,
        base_digest=digest(base),
        rows=folder / "rows.jsonl",
        adapters=folder / "adapters",
        recipe=Recipe.model_validate(settings),
    )
    write_json(folder / "job.json", job)
    return job


def child(job: Job, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the trainer child for a job as `launch` does."""
    path = os.pathsep.join([*processes.parts(job.recipe), os.environ.get("PYTHONPATH", "")])
    command = processes.command(job.recipe, job.rows.with_name("job.json"))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | more
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)


def trained(job: Job) -> tuple[Result, dict[str, torch.Tensor]]:
    done = child(job)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    result = Result.model_validate_json(job.rows.with_name("result.json").read_text())
    folder = job.adapters / result.adapter_digest
    assert adapters.is_whole(folder) and [path.name for path in job.adapters.iterdir()] == [folder.name]
    steps = [json.loads(line)["step"] for line in done.stdout.splitlines() if line.startswith('{"step"')]
    assert steps == list(range(1, 7))  # one process speaks
    return result, load_file(folder / adapters.WEIGHTS)


def same_as_one_process(base: Path, folder: Path, launch: str, **more: Any) -> tuple[float, float]:
    """Return the largest difference of the losses and of any weight between two processes and one."""
    one, weights = trained(job_of(base, folder / "one", **more))
    two, others = trained(job_of(base, folder / "two", launch=launch, processes=2, **more))
    assert set(weights) == set(others) and two.metrics["steps"] == one.metrics["steps"] == 6
    moved = max(float((weights[name] - others[name]).abs().max()) for name in weights)
    return abs(two.metrics["train_loss"] - one.metrics["train_loss"]), moved


def test_two_processes_of_accelerate_train_the_adapter_that_one_trains(
    tiny_base: Path, tmp_path: Path, record_property: Any
) -> None:
    record(record_property, table="two processes", part="accelerate", check="sft, lora", how="in process")
    loss, moved = same_as_one_process(tiny_base, tmp_path, "accelerate")
    assert loss < CLOSE and moved < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize(("method", "adapter"), [("sft", "lora"), ("dpo", "lora"), ("sft", "full")])
@pytest.mark.parametrize("launch", ["accelerate", "deepspeed-1", "deepspeed-2", "deepspeed-3", "fsdp"])
def test_every_way_to_spread_the_work_gives_what_one_process_gives(
    launch: str, method: str, adapter: str, tiny_base: Path, tmp_path: Path, record_property: Any
) -> None:
    record(record_property, table="two processes", part=launch, check=f"{method}, {adapter}", how="in process")
    if launch.startswith("deepspeed"):
        install("deepspeed")
    rate = 0.001 if adapter == "full" else 0.01
    loss, moved = same_as_one_process(tiny_base, tmp_path, launch, method=method, adapter=adapter, learning_rate=rate)
    print(f"{launch} {method} {adapter}: loss {loss:.1e}, weights {moved:.1e}")
    assert loss < CLOSE and moved < CLOSE


def test_a_fault_is_told_once_and_is_not_tried_again(tiny_base: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, tmp_path / "job", launch="accelerate", processes=2)
    job = job.model_copy(update={"base": tmp_path})
    write_json(tmp_path / "job" / "job.json", job)
    done = child(job)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"error"')]
    assert done.returncode == REPORTED and len(told) == 1 and "could not be loaded" in told[0]["error"]


@pytest.mark.faults
def test_no_worker_outlives_the_one_that_started_it_nor_a_neighbour_that_died(tiny_base: Path, tmp_path: Path) -> None:
    for name, signalled in (("launcher", 0), ("worker", 1)):
        job = job_of(tiny_base, tmp_path / name, launch="accelerate", processes=2, epochs=100_000)
        command = processes.command(job.recipe, tmp_path / name / "job.json")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as launcher:
            assert launcher.stdout is not None
            while not launcher.stdout.readline().startswith(b'{"step"'):
                assert launcher.poll() is None
            workers = psutil.Process(launcher.pid).children()
            assert len(workers) == 2
            os.kill([launcher.pid, workers[1].pid][signalled], signal.SIGKILL)
            _, alive = psutil.wait_procs(workers, timeout=30)
            assert alive == []
            launcher.wait(timeout=30)
        assert launcher.returncode != 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"processes": 2}, "launch = 'single'"),
        ({"processes": 3, "launch": "accelerate"}, "cannot be shared by 3 processes"),
        ({"processes": 2, "launch": "fsdp", "adapter": "qlora"}, "trains in one process"),
        ({"processes": 2, "launch": "accelerate", "method": "kto"}, "trains in one process"),
    ],
)
def test_what_cannot_be_spread_is_refused_before_a_child_starts(settings: dict[str, Any], problem: str) -> None:
    method = settings.get("method", "sft")
    with pytest.raises(ConfigError, match=problem) as caught:
        processes.check(resolve(parse({"training": settings}), method, 10, 0))
    assert caught.value.next_step


def test_deepspeed_that_is_not_installed_names_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        processes.check(resolve(parse({"training": {"launch": "deepspeed-2", "processes": 2}}), "sft", 10, 0))
    assert caught.value.next_step == "sharpen install deepspeed"


def test_one_process_is_a_plain_worker(tmp_path: Path) -> None:
    recipe = resolve(parse({}), "sft", 10, 0)
    assert processes.command(recipe, tmp_path)[-2] == "sharpen.training.worker"
    assert processes.parts(recipe) == []
    spread = resolve(parse({"training": {"launch": "accelerate", "processes": 2}}), "sft", 10, 0)
    assert processes.command(spread, tmp_path)[-2] == "sharpen.training.processes"
