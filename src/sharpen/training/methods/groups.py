"""What the methods that compare several answers to one prompt have in common.

In: a job and its prompts. Out: one of TRL's trainers, with a reward function on our verifier. Must not know
which baseline an answer is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datasets import Dataset

from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.shared import arguments
from sharpen.training.prompts import Verifier


def compared(
    job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str, *, kind: Any, config: Any
) -> Any:
    """Return a trainer of TRL's `kind`, told by its `config`, over the prompts of `rows` that a scorer can grade."""
    asked = [row for row in rows if "scorer" in row]
    return kind(
        model,
        reward_funcs=reward(job, asked),
        args=config(**group_arguments(job, scratch, len(asked))),
        train_dataset=prompts_of(asked),
        processing_class=tokenizer,
        peft_config=lora(job),
    )


def group_arguments(job: Job, scratch: str, prompts: int) -> dict[str, Any]:
    """Return the arguments of GRPO and RLOO: `batch` prompts per step, or all there are, each answered `samples` times.

    TRL leaves out what does not fill a batch; so a smaller set than a batch is one.
    """
    recipe = job.recipe
    told = arguments(job, scratch, prompts)
    told.pop("max_length")  # it bounds prompt and answer together, and `fit` has seen to that
    return told | {
        "per_device_train_batch_size": min(told["per_device_train_batch_size"], prompts) * recipe.samples,
        "num_generations": recipe.samples,
        "max_completion_length": recipe.max_new_tokens,
        "temperature": recipe.temperature,
        "beta": recipe.kl,
        "logging_steps": 1,  # the reward is the only thing to watch, and a step is long
    }


def prompts_of(asked: list[dict[str, Any]]) -> Dataset:
    """Return the data set: the prompt, and the place of its row, so that nothing else passes through TRL."""
    return Dataset.from_list([{"prompt": row["messages"], "place": place} for place, row in enumerate(asked)])


def reward(job: Job, asked: list[dict[str, Any]]) -> Callable[..., list[float | None]]:
    """Return TRL's reward function. Raises: TrainerError when the scorer cannot even grade a reference."""
    verifier = Verifier(job.drawn)
    verifier.try_out(asked)

    def graded(completions: list[Any], place: list[int], **_: Any) -> list[float | None]:
        return [verifier(asked[at], said[0]["content"]) for at, said in zip(place, completions, strict=True)]

    return graded
