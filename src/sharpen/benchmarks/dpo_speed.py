"""Preference training, tokens per second: our trainer against TRL's own, on the same pairs, weights and settings.

In: nothing, or another base. Out: figures of both, of TRL with reference log-probabilities computed beforehand, their
ratios, the most memory each took, and the largest difference between losses. Must not know who reads them.

The promise is a ratio of at least 1.5 against TRL as it comes, on answers of a sentence or two to a question. All train
the same adapter from the same seed, in turns, three passes over the pairs; the better round of each counts. The clock
runs from the tokens to the last step, with what each computes beforehand. Tokens are those of both conversations of a
pair, as TRL counts them, whoever computes them.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path
from typing import Any

from sharpen.benchmarks import forget_peak, machine, peak_bytes
from sharpen.benchmarks.generation import QUESTIONS, SYSTEMS
from sharpen.config import SMOLLM2
from sharpen.plugins import part

PROMISE = 1.5
ROUNDS = 2
EPOCHS = 3.0  # the default of [training] epochs
PAIRS = 24
CHOSEN = (
    "The capital of Norway is Oslo.",
    "Sunlight is made of many colours. The air bounces the blue ones around the most, so blue comes to us from all "
    "over the sky.",
    "The journey takes 3 hours and 25 minutes.",
    "I am very sorry that your parcel is late. I have asked the carrier to find it and have paid back the delivery "
    "fee; you will see it on your account within three days.",
    "It cleans sinks, takes smells out of a fridge, and makes cakes rise.",
    "Neither: a kilogram weighs a kilogram, whatever it is made of.",
    "The council chose the dearer northern route for the new bridge to spare the old market; work begins in spring.",
    "Good morning is 'bonjour' in French.",
    "Clean the chain with a rag, put one drop of oil on each link, turn the pedals for a while and wipe off the rest.",
    "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune.",
    "404 means that the page was not found and might come back; 410 means that it was taken away for good.",
    "Fry the onion and the tomatoes, add cooked rice, push it aside, scramble the eggs in the pan and mix everything.",
    "She doesn't like it when it rains.",
    "17 times 23 is 391.",
    "'The Letter That Came Home'",
    "Ernest Hemingway wrote it; it was published in 1952.",
)
REJECTED = (
    "Norway is a country in the north of Europe with many fjords.",
    "It reflects the sea.",
    "It takes 4 hours and 25 minutes, since thirteen less nine is four.",
    "Parcels are sometimes late. Please wait.",
    "Baking soda is a white powder that is sold in every shop; it has a great many uses in the house, in the kitchen "
    "and in the garden, and people have known it for a long time.",
    "The lead, since metals are heavier than feathers.",
    "The council met on Tuesday.",
    "In French one says 'bonne nuit'.",
    "Ride it more slowly.",
    "Earth, Venus, Mars, Mercury, Saturn, Jupiter, Neptune, Uranus and Pluto.",
    "They are both errors of the server, and it does not matter which of the two is sent to a browser or a crawler.",
    "You could order a pizza.",
    "She don't like when it rains.",
    "The answer is 401, because 17 times 20 is 340 and 17 times 3 is 61.",
    "A story about a lighthouse keeper who finds a message in a bottle that he wrote himself",
    "It was written by John Steinbeck.",
)


def rows() -> list[dict[str, Any]]:
    """Return the pairs (messages, chosen, rejected): each question with a better and a worse answer."""
    asked = [(system, i) for system in SYSTEMS for i in range(len(QUESTIONS))][:PAIRS]
    return [
        {
            "messages": [
                *([{"role": "system", "content": system}] if system else []),
                {"role": "user", "content": QUESTIONS[i]},
            ],
            "chosen": CHOSEN[i],
            "rejected": REJECTED[i],
        }
        for system, i in asked
    ]


def measure(base: str = SMOLLM2, rounds: int = ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when the base is not there; MissingExtra."""
    torch, transformers, trl = part("torch"), part("transformers"), part("trl")
    part("datasets").disable_caching()  # or TRL would find in the second round what it computed in the first
    from sharpen.models.weights import digest, resolve
    from sharpen.training.job import Job, Recipe
    from sharpen.training.methods import dpo

    folder = resolve(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    recipe = Recipe(
        method="dpo",
        epochs=EPOCHS,
        rank=16,
        alpha=32,
        learning_rate=1e-4,
        batch=8,
        max_length=512,
        beta=0.1,
        seed=0,
        threads=0,
    )
    sides: dict[str, tuple[Any, dict[str, Any]]] = {"ours": (dpo.PairTrainer, {}), "trl": (trl.DPOTrainer, {})}
    sides["trl_precomputed"] = (trl.DPOTrainer, {"precompute_ref_log_probs": True})
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        job = Job(base=folder, base_digest=digest(folder), rows=place / "rows", adapters=place, recipe=recipe)

        def train(kind: Any, more: dict[str, Any], pairs: list[dict[str, Any]]) -> tuple[Any, float, int]:
            transformers.set_seed(0)
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            gc.collect()
            forget_peak()
            started = time.perf_counter()
            trainer = dpo.build(job, model, tokenizer, pairs, scratch, kind=kind, **more)
            trainer.args.logging_steps = 1
            trainer.train()
            return trainer, time.perf_counter() - started, peak_bytes()

        train(*sides["ours"], rows()[:2])  # all run on warm files and caches
        turns = []
        for _ in range(rounds):
            done = {name: train(*side, rows()) for name, side in sides.items()}
            turns.append({name: (seconds, peak, _losses(trainer)) for name, (trainer, seconds, peak) in done.items()})
            apart = _largest_difference(done["ours"][0], done["trl"][0])
            tokens = int(EPOCHS * sum(_tokens(row) for row in done["ours"][0].train_dataset))
            del done
    best = {name: min(turn[name][0] for turn in turns) for name in sides}
    return {
        "benchmark": "dpo_speed",
        "base": base,
        "pairs": len(rows()),
        "epochs": EPOCHS,
        "tokens": tokens,
        "rounds": [{f"{name}_s": round(turn[name][0], 2) for name in sides} for turn in turns],
        **{f"{name}_tokens_per_s": round(tokens / seconds, 1) for name, seconds in best.items()},
        "ratio": round(best["trl"] / best["ours"], 2),
        "ratio_to_trl_precomputed": round(best["trl_precomputed"] / best["ours"], 2),
        "promised_ratio": PROMISE,
        **{f"{name}_peak_mib": max(turn[name][1] for turn in turns) >> 20 for name in sides},
        "largest_difference_of_a_pairs_loss": apart,
        "largest_difference_of_a_steps_loss": max(
            abs(mine - other) for turn in turns for mine, other in zip(turn["ours"][2], turn["trl"][2], strict=True)
        ),
        "machine": machine("torch", "transformers", "trl", "peft") | {"threads": torch.get_num_threads()},
    }


def _tokens(row: dict[str, Any]) -> int:
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])


def _losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _largest_difference(ours: Any, trl: Any) -> float:
    """Return the largest difference between both trainers' losses of one pair, with TRL's trained weights."""
    torch = part("torch")
    ours.model.load_state_dict(trl.model.state_dict())
    found = []
    with torch.no_grad():
        for mine, other in zip(ours.train_dataset, trl.train_dataset, strict=True):
            batch, plain = ours.data_collator([mine]), trl.data_collator([other])
            expected = trl.compute_loss(trl.model, trl._prepare_inputs(plain))
            found.append(abs(float(ours.compute_loss(ours.model, ours._prepare_inputs(batch))) - float(expected)))
    return max(found)
