"""Training tokens per second: our supervised trainer against TRL's own, on the same rows, weights and settings.

In: nothing, or another base. Out: figures of both, their ratio, and the largest difference between their losses. Must
not know who reads them.

The promise is a ratio of at least 1.2 on short answers to longer questions, which is what corrections are. Both train
the same adapter from the same seed, in turns; the better round of each counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen.benchmarks import machine
from sharpen.benchmarks.generation import QUESTIONS, SYSTEMS
from sharpen.config import SMOLLM2
from sharpen.plugins import part

PROMISE = 1.2
ROUNDS = 3
TOPICS = (
    "geography", "science", "arithmetic", "letters", "household", "science", "news", "languages", "bicycles", "science",
    "computers", "cooking", "languages", "arithmetic", "stories", "books",
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Return 48 rows (messages, chosen): each question under each system message, answered by its topic."""
    return [
        {
            "messages": [
                {"role": "system", "content": f"{system} Name the topic of the question in one word.".strip()},
                {"role": "user", "content": question},
            ],
            "chosen": topic,
        }
        for system in SYSTEMS
        for question, topic in zip(QUESTIONS, TOPICS, strict=True)
    ]


def measure(base: str = SMOLLM2, rounds: int = ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when the base is not there; MissingExtra."""
    torch, transformers, trl = part("torch"), part("transformers"), part("trl")
    from sharpen.models.weights import digest, resolve
    from sharpen.training.job import Job, Recipe
    from sharpen.training.methods import sft

    folder = resolve(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    recipe = Recipe(
        method="sft",
        epochs=1,
        rank=16,
        alpha=32,
        learning_rate=1e-3,
        batch=8,
        max_length=512,
        beta=0.1,
        seed=0,
        threads=0,
    )
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        job = Job(base=folder, base_digest=digest(folder), rows=place / "rows", adapters=place, recipe=recipe)

        def train(kind: Any) -> tuple[float, int, list[float]]:
            transformers.set_seed(0)
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            trainer = sft.build(job, model, tokenizer, rows(), scratch, kind=kind)
            trainer.args.logging_steps = 1
            tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
            started = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - started
            return seconds, tokens, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

        train(sft.AnswerTrainer)  # both run on warm files and caches
        turns = [(train(sft.AnswerTrainer), train(trl.SFTTrainer)) for _ in range(rounds)]
    return {
        "benchmark": "sft_speed",
        "base": base,
        "examples": len(rows()),
        "tokens": turns[0][0][1],
        "rounds": [{"ours_s": round(a[0], 2), "trl_s": round(b[0], 2)} for a, b in turns],
        "ours_tokens_per_s": round(max(a[1] / a[0] for a, _ in turns), 1),
        "trl_tokens_per_s": round(max(b[1] / b[0] for _, b in turns), 1),
        "ratio": round(min(b[0] for _, b in turns) / min(a[0] for a, _ in turns), 2),
        "promised_ratio": PROMISE,
        "largest_loss_difference": max(_apart(a[2], b[2]) for a, b in turns),
        "machine": machine("torch", "transformers", "trl", "peft") | {"threads": torch.get_num_threads()},
    }


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return max(abs(mine - other) for mine, other in zip(ours, theirs, strict=True))
