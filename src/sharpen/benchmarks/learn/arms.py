"""One arm on one task with one seed: train within the budget, answer the held-out cases, keep the row.

In: a bench, a task, an arm's name, a seed. Out: a row with its score, and each case's value. Must not know which arm
ought to win.
"""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.benchmarks.learn import plain
from sharpen.benchmarks.learn.budget import EPOCHS, WARM_UP, limit
from sharpen.benchmarks.learn.tasks import VERSION, Task
from sharpen.config import Config, ModelsSection
from sharpen.durable import write_text
from sharpen.memory.recall import Recall, with_examples
from sharpen.models.engine import Request
from sharpen.plugins import part
from sharpen.records import Case, Message, Method, content_hash
from sharpen.stats import mean_interval
from sharpen.training.job import Job, Recipe, resolve
from sharpen.training.rows import usable
from sharpen.verify.cases import Tier

BASE, IN_CONTEXT, AUTO = "base", "in_context", "auto"
PLAIN = "plain_"
SHOTS = 6  # as [evaluation] in_context has it
UNTRAINED = (BASE, IN_CONTEXT)


@dataclass(frozen=True)
class Bench:
    """How it is measured."""

    base: Path
    base_digest: str
    folder: Path
    budget_s: float
    cases: int
    tier: Tier
    threads: int = 1


def row_of(bench: Bench, task: Task, arm: str, seed: int) -> dict[str, Any]:
    """Return an arm's row, from the folder if it was measured before."""
    recipe = None if arm in UNTRAINED or arm.startswith(PLAIN) else _recipe(task, arm, seed, bench).model_dump()
    budget_s = 0.0 if arm in UNTRAINED else bench.budget_s
    key = content_hash([bench.base_digest, task.digest, arm, seed, budget_s, bench.cases, bench.tier, recipe])
    path = bench.folder / task.name / f"{arm}-{seed}-{key}.json"
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    cases = task.held_out(bench.tier, bench.cases)
    trained: dict[str, Any] = {"seconds": 0.0, "steps": 0}
    if arm in UNTRAINED:
        values = _answer(bench, bench.base, task, cases, in_context=arm == IN_CONTEXT)
    else:
        bench.folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="learn-", dir=bench.folder))
        try:
            trained = train(bench, task, arm, seed, scratch)
            values = _answer(bench, scratch / "model", task, cases)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    found = mean_interval(values)
    row = {
        "task": task.name, "arm": arm, "seed": seed, "score": round(found.value, 4), "low": round(found.low, 4),
        "high": round(found.high, 4), "n": found.n, **trained, "values": values,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(row))
    return row


def train(bench: Bench, task: Task, arm: str, seed: int, scratch: Path) -> dict[str, Any]:
    """Train within the budget, and leave the whole model in `scratch`/model. Returns CPU seconds and steps."""
    torch, transformers = part("torch"), part("transformers")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(bench.threads)
    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bench.base)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    started_s = time.process_time()
    warm_up = 0.0
    if arm.startswith(PLAIN):
        name, place = arm.removeprefix(PLAIN), str(scratch / "trainer")
        trainer = plain.build(name, model, tokenizer, task, scratch=place, seed=seed)
    else:
        from sharpen.training.methods import builder

        recipe, warm_up = _recipe(task, arm, seed, bench), WARM_UP
        # Our pairs come from the rows alone: sampling more of them is a work of its own.
        asked = task.prompts if recipe.method in ("ppo", "grpo", "rloo") else []
        rows, _ = usable(task.rows, asked, recipe.method)
        job = Job(
            base=bench.base, base_digest=bench.base_digest, rows=scratch, adapters=scratch, recipe=recipe
        )  # fmt: skip
        trainer = builder(recipe.method)(job, model, tokenizer, rows, str(scratch / "trainer"))
    limit(trainer, bench.budget_s, started_s, warm_up).train()
    seconds = time.process_time() - started_s
    trained = trainer.model
    if hasattr(trained, "merge_and_unload"):
        trained = trained.merge_and_unload()
    trained.save_pretrained(scratch / "model")
    tokenizer.save_pretrained(scratch / "model")
    steps = int(trainer.state.global_step)
    del trainer, model, trained
    gc.collect()
    return {"seconds": round(seconds, 1), "steps": steps}


def _recipe(task: Task, arm: str, seed: int, bench: Bench) -> Recipe:
    """Return the product's own recipe for a base of this size, but for the end."""
    method: Method = arm  # type: ignore[assignment]
    size = sum(file.stat().st_size for file in bench.base.glob("*.safetensors")) // 4
    found = resolve(Config(), method, size, seed)
    changed = {"epochs": EPOCHS, "max_new_tokens": task.max_new_tokens, "threads": bench.threads}
    return found.model_copy(update=changed)


def _answer(bench: Bench, folder: Path, task: Task, cases: Sequence[Case], *, in_context: bool = False) -> list[float]:
    """Return the value of a model's greedy answer to each case; what cannot be scored counts as wrong."""
    from sharpen.models.transformers_engine import TransformersEngine

    recall = Recall(
        (tuple(Message.model_validate(turn) for turn in row["messages"]), row["chosen"]) for row in task.rows
    )
    engine = TransformersEngine(folder, ModelsSection(threads=bench.threads))
    try:
        engine.load(VERSION, None)
        asked = [
            with_examples(case.messages, recall.nearest(case.messages, SHOTS)[::-1]) if in_context else case.messages
            for case in cases
        ]
        replies = engine.generate([Request(messages, task.max_new_tokens) for messages in asked], VERSION)
    finally:
        engine.close()
    scored = (task.suite.score(case, reply.text.strip())[0] for case, reply in zip(cases, replies, strict=True))
    return [float(value or 0.0) for value in scored]
