"""The toy that both trainers learn: a small random model is to say ASCII letters, of all bytes that it could say.

In: a folder. Out: a base, prompts, a reward, and the settings that both take. Must not know either trainer.

The reward is dense, so that every sample says something; prompts are of one length, so that padding plays no part.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sharpen.testing import tiny_model

QUESTIONS = ("my bill is wrong", "the box was open", "a cup is broken", "it never came up")
ANSWER_TOKENS = 4
SAMPLES = 8  # answers per prompt and iteration
ITERATIONS = 12
# As both have them by default, but for the rate: chosen so that a dozen iterations show whether it learns.
SETTINGS: dict[str, float] = {"kl": 0.05, "clip": 0.2, "value_weight": 0.1, "lambda": 0.95, "passes": 4, "minis": 2}
RATE, RANK, TEMPERATURE = 3e-3, 8, 1.0
HEAD_SCALE = 0.15  # chosen: words then differ in likelihood by a factor of 5 or so, as in a trained model's tail


def reward(text: str) -> float:
    """Return the share of the answer's characters that are ASCII; white space at its ends is no part of it."""
    said = text.strip()
    return sum(letter.isascii() for letter in said) / max(1, len(said))


def prompts() -> list[dict[str, Any]]:
    """Return the prompts as a trainer of ours takes them, but for the scorer."""
    return [
        {"messages": [{"role": "user", "content": question}], "chosen": None, "rejected": None, "reference": "plain",
         "choices": []}
        for question in QUESTIONS
    ]  # fmt: skip


def outspoken(base: Path, folder: Path) -> Path:
    """Copy a tiny base with a head of its own, of larger weights.

    The tiny model finds all words almost equally likely, whatever an adapter does: a policy that is graded on its own
    samples could not be seen to learn.
    """
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(1)
    head = torch.randn(weights["model.embed_tokens.weight"].shape, generator=generator)
    weights["lm_head.weight"] = HEAD_SCALE * head
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def toy_base(folder: Path) -> Path:
    """Make the base in a folder."""
    return outspoken(tiny_model(folder / "tiny"), folder / "base")
