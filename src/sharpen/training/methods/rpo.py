"""Regularised preference optimisation: DPO's loss plus the likelihood of the chosen answer, on best-versus-worst pairs.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: Liu et al. 2024, arXiv:2405.16436, equation 3.3 (the SFT loss as a regulariser against over-optimisation); the
same sum is Pang et al. 2024, arXiv:2404.19733, equation 1. Where prompts come with a verifier, the base answers each
several times, and the best answer is set against the worst: rejection sampling, as in Pang et al., section 2.
"""

from __future__ import annotations

from typing import Any

from sharpen.errors import TrainerError
from sharpen.training.job import Job
from sharpen.training.methods import dpo
from sharpen.training.methods.rollouts import Sampler
from sharpen.training.prompts import Verifier

GAP = 0.5  # chosen: scores are mostly 0 or 1; a smaller difference is often the scorer's own noise
PROMPTS_AT_ONCE = 8  # chosen: 64 answers of a batch fit where training does


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the pairs among `rows`, and those that the base itself gives for the prompts among them."""
    pairs = [row for row in rows if row["chosen"] is not None and row["rejected"] is not None]
    pairs += best_and_worst(job, model, tokenizer, [row for row in rows if "scorer" in row])
    if not pairs:
        raise TrainerError(
            f"No prompt got answers that differ by {GAP} or more: there are no pairs to learn from.",
            'raise [training] samples, or method = "sft"',
        )
    return dpo.build(
        job, model, tokenizer, pairs, scratch, loss_type=("sigmoid", "sft"), loss_weights=(1.0, job.recipe.nll)
    )


def best_and_worst(job: Job, model: Any, tokenizer: Any, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a pair (messages, chosen, rejected) for each prompt whose sampled answers differ enough in score.

    Among equals the answer that was sampled first counts. An answer that the verifier cannot grade is none.
    """
    if not asked:
        return []
    verifier = Verifier(job.drawn)
    verifier.try_out(asked)
    sampler, recipe = Sampler(tokenizer, job.recipe), job.recipe
    pairs = []
    for first in range(0, len(asked), PROMPTS_AT_ONCE):
        some = [row for row in asked[first : first + PROMPTS_AT_ONCE] for _ in range(recipe.samples)]
        texts = sampler.sample(model, some).texts
        scored = [(verifier(row, text), text) for row, text in zip(some, texts, strict=True)]
        for at in range(0, len(some), recipe.samples):
            graded = [(score, text) for score, text in scored[at : at + recipe.samples] if score is not None]
            if not graded:
                continue
            best, worst = max(graded, key=lambda one: one[0]), min(graded, key=lambda one: one[0])
            if best[0] - worst[0] >= GAP and best[1].strip() and worst[1].strip():
                pairs.append({"messages": some[at]["messages"], "chosen": best[1], "rejected": worst[1]})
    return pairs
