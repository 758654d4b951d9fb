"""Runs of every method on a toy that each can learn, made once and in this process: what a child does, without one."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from sharpen.benchmarks.ppo.toy import outspoken
from sharpen.models.weights import digest
from sharpen.records import Method
from sharpen.training import worker
from sharpen.training.job import Job, Recipe, Result
from sharpen.training.rows import ON_POLICY, usable
from sharpen.verify.scorers import scorer

METHODS: tuple[Method, ...] = get_args(Method)
QUESTIONS = ("my bill is wrong", "where is my parcel", "do you sell kettles", "it is broken")
RIGHT, WRONG = "billing", "perhaps"


@scorer
def toy_plain(reply: str, reference: str) -> float:
    """Return the share of the reply's characters that are ASCII: about half of what a random model of bytes says."""
    return sum(letter.isascii() for letter in reply) / max(1, len(reply))


def asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


ROWS = [{"messages": asked(question), "chosen": RIGHT, "rejected": WRONG} for question in QUESTIONS]
PROMPTS = [
    {"messages": asked(question), "chosen": None, "rejected": None, "reference": "plain", "choices": [],
     "scorer": "toy_plain"}
    for question in QUESTIONS
]  # fmt: skip

# On policy few steps at a high rate: the toy is learned by what is said often, not by finding anything rare.
OFF = {"epochs": 8.0, "learning_rate": 2e-3, "batch": 4}
ON = {
    "epochs": 6.0,
    "learning_rate": 3e-3,
    "batch": 4,
    "samples": 8,
    "temperature": 1.0,
    "max_new_tokens": 3,
    "kl": 0.0,
}
SETTINGS: dict[str, dict[str, Any]] = {method: ON if method in ON_POLICY else OFF for method in METHODS}
SETTINGS["rpo"] = OFF | {"samples": 4, "temperature": 1.0, "max_new_tokens": 6}


class Made(NamedTuple):
    """One run: what came out, what was told on the way, and where the adapter lies."""

    result: Result
    told: list[dict[str, Any]]
    adapter: Path


def recipe_of(method: Method, **changed: Any) -> Recipe:
    fixed = {"rank": 8, "alpha": 16, "max_length": 96, "beta": 0.1, "seed": 0, "threads": 1}
    return Recipe(method=method, **(fixed | SETTINGS[method] | changed))


def job_of(base: Path, folder: Path, recipe: Recipe, rows: list[dict[str, Any]]) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Job(base=base, base_digest=digest(base), rows=path, adapters=folder, recipe=recipe)


@pytest.fixture(scope="session")
def toy_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return outspoken(tiny_base, tmp_path_factory.mktemp("toy") / "base")


@pytest.fixture(scope="session")
def run(toy_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Return a function that trains by a method, once for each seed and turn."""

    @cache
    def made(method: Method, seed: int = 0, turn: int = 1) -> Made:
        rows, _ = usable(ROWS, PROMPTS if method in ON_POLICY else [], method)
        job = job_of(toy_base, tmp_path_factory.mktemp(f"{method}-{turn}"), recipe_of(method, seed=seed), rows)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            result = worker.run(job, time.perf_counter())
        told = [json.loads(line) for line in said.getvalue().splitlines() if line.startswith('{"step"')]
        return Made(result, told, job.adapters / result.adapter_digest)

    return made
