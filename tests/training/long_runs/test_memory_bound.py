from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharpen.models.weights import digest
from sharpen.training import child
from sharpen.training.job import Job, Recipe
from sharpen.training.long_runs.memory_bound import ran_out
from tests.training.conftest import row

ROWS = [row(f"{'where is my parcel ' * 14}{n}", "my bill is wrong") for n in range(8)]
MIB = 1 << 20

# What a trainer child holds before it has read a model: the libraries, and what they set aside.
EMPTY = """
import sharpen.training.worker, sharpen.training.methods.sft
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData")))
"""


@pytest.fixture
def deep_base(tiny_base: Path, tmp_path: Path) -> Path:
    """Return a model of many thin layers: few weights, and half a megabyte of memory per token in training."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    config = AutoConfig.from_pretrained(tiny_base)
    config.num_hidden_layers = 32
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "deep")
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(tmp_path / "deep")
    return tmp_path / "deep"


@pytest.mark.faults
def test_a_batch_that_has_no_room_goes_through_in_smaller_portions(
    shops: Callable[..., Any], deep_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sharpen.training")
    command = [sys.executable, "-c", EMPTY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    empty = int(done.stdout) * 1024
    settings = {"epochs": 1.0, "batch": 8, "attempts": 1, "packing": False}
    # Measured: 700 MiB may hold all eight rows, 450 holds one alone; between them a smaller portion has room.
    shop = shops(tmp_path / "bound", **settings, memory_bytes=empty + 540 * MIB)
    parent = shop.version_0().model_copy(update={"base_digest": digest(deep_base)})
    run, _ = shop.train(ROWS, base=deep_base, parent=parent)
    assert run.metrics["portion"] in (1, 2, 4)
    assert run.metrics["steps"] == 1  # a step is still a whole batch
    assert "ran out of memory; it goes on with 4 rows" in caplog.text


@pytest.mark.parametrize(("batch", "portion", "smaller"), [(8, 0, 4), (8, 4, 2), (6, 0, 3), (6, 3, 1), (7, 0, 1)])
def test_a_smaller_portion_still_divides_the_batch(batch: int, portion: int, smaller: int) -> None:
    settings = {"method": "sft", "epochs": 1, "rank": 4, "alpha": 8, "learning_rate": 1e-3, "max_length": 64}
    recipe = Recipe(**settings, batch=batch, beta=0.1, seed=0, threads=1)
    here = Path()
    job = Job(base=here, base_digest="d", rows=here, adapters=here, recipe=recipe, portion=portion)
    found = child.smaller(job)
    assert found is not None and found.portion == smaller
    assert child.smaller(job.model_copy(update={"portion": 1})) is None


def test_what_the_kernel_really_refuses_is_recognised() -> None:
    code = f"""
import torch
from sharpen.training.long_runs.memory_bound import bound, ran_out
bound({8 << 30})
for make in (lambda: torch.empty(1 << 40, dtype=torch.uint8), lambda: bytearray(1 << 40)):
    try:
        make()
    except (MemoryError, RuntimeError) as error:
        print(ran_out(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY  # only the child is bound


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception, is_memory: bool) -> None:
    assert ran_out(error) == is_memory
