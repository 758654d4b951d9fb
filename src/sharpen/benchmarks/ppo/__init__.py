"""Our PPO beside the last one that TRL shipped, on the same toy, with the same settings and seeds.

In: a number of seeds. Out: both learning curves, their ends, and the difference with its interval. Must not know who
reads them.

What differs: ours has a value head on the policy's own network and clips gradients, TRL's trains a second network for
the value. The rest is told alike: samples, passes, clipping, price of KL, rate and adapter. `sharpen install trl-ppo`
gets TRL 1.12 into a folder of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen import console
from sharpen.benchmarks import machine
from sharpen.benchmarks.ppo import toy
from sharpen.errors import BoundaryError
from sharpen.install import environment
from sharpen.plugins import part
from sharpen.stats import paired_difference
from sharpen.verify.scorers import scorer

SEEDS = 5
END = 3  # chosen: the last iterations whose mean is the end of a curve; one alone is 32 samples

Curves = dict[str, list[float]]


def measure(seeds: int = SEEDS) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra when TRL 1.12 is not there; BoundaryError when it fails."""
    path = [str(environment("trl-ppo"))]
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        base = toy.toy_base(Path(scratch))
        for seed in range(seeds):
            runs.append({"seed": seed, "ours": ours(base, seed, Path(scratch)), "trl": trl(base, seed, path)})
            ends = {name: _end(runs[-1][name]) for name in ("ours", "trl")}
            console.err.print(f"{seed + 1}/{seeds}  " + "  ".join(f"{name} {end:.3f}" for name, end in ends.items()))
    return {"benchmark": "ppo", "iterations": toy.ITERATIONS, "runs": runs} | summary(runs) | {
        "machine": machine("torch", "transformers", "peft") | {"trl": "1.12.0"}
    }  # fmt: skip


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return where both began and ended, and how far apart they ended, over the seeds."""
    ends = {name: [_end(run[name]) for run in runs] for name in ("ours", "trl")}
    found = paired_difference(ends["ours"], ends["trl"])
    return {
        **{
            name: {
                "start": round(statistics.fmean(run[name]["reward"][0] for run in runs), 4),
                "end": round(statistics.fmean(ends[name]), 4),
                "kl": round(statistics.fmean(run[name]["kl"][-1] for run in runs), 3),
            }
            for name in ends
        },
        "difference": {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)},
    }


def ours(base: Path, seed: int, scratch: Path) -> Curves:
    """Train ours, in this process."""
    torch, transformers = part("torch"), part("transformers")
    from sharpen.models.weights import digest
    from sharpen.training.job import Job, Recipe
    from sharpen.training.methods import builder

    torch.set_num_threads(1)
    transformers.set_seed(seed)
    recipe = Recipe(
        method="ppo", epochs=toy.ITERATIONS, rank=toy.RANK, alpha=2 * toy.RANK, learning_rate=toy.RATE,
        warmup_share=0.0, batch=len(toy.QUESTIONS), max_length=128, beta=0.1, samples=toy.SAMPLES,
        temperature=toy.TEMPERATURE, max_new_tokens=toy.ANSWER_TOKENS, kl=toy.SETTINGS["kl"], seed=seed, threads=1,
    )  # fmt: skip
    job = Job(base=base, base_digest=digest(base), rows=scratch, adapters=scratch, recipe=recipe)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    scorer(plain_letters)
    rows = [row | {"scorer": plain_letters.__name__} for row in toy.prompts()]
    trainer = builder("ppo")(job, model, tokenizer, rows, str(scratch / f"trainer-{seed}"))
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "reward" in entry]
    return {name: [entry[name] for entry in history] for name in ("reward", "kl")}


def plain_letters(reply: str, reference: str) -> float:
    """Grade as the toy does."""
    return toy.reward(reply)


def trl(base: Path, seed: int, path: Sequence[str]) -> Curves:
    """Train TRL's, in a process that has TRL 1.12 first on its path. Raises: BoundaryError."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *sys.path])}
    command = [sys.executable, "-m", f"{__name__}.peer", str(base), str(seed)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BoundaryError(f"TRL 1.12's PPO failed: {done.stderr[-500:]}", "sharpen install trl-ppo")
    curves: Curves = json.loads(done.stdout.splitlines()[-1])
    return curves


def _end(curves: Curves) -> float:
    return statistics.fmean(curves["reward"][-END:])
