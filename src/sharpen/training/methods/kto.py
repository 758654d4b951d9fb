"""Kahneman-Tversky optimisation on single answers that were liked or disliked.

In: a job and its rows. Out: a TRL trainer, ready to run. Must not know where the rows came from.

Source: Ethayarajh et al. 2024, arXiv:2402.01306, equations 7 and 8. TRL estimates the KL term from mismatched pairs: it
gives each prompt the answer of the row before it, in blocks of one batch, in the order of the data set. Where that
answer is the prompt's own, or the same text, the pair is no mismatch and the reference point moves with the reward. So
the order is made here: blocks of at least two, both classes in each, and neighbours that differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from sharpen.fairness.balance import desirability
from sharpen.records import content_hash
from sharpen.training.adapters import lora
from sharpen.training.job import Job
from sharpen.training.methods.shared import arguments


class Rated(NamedTuple):
    """One answer, and whether it was liked."""

    messages: list[dict[str, str]]
    answer: str
    liked: bool


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over every answer of `rows` (messages, chosen, rejected): a pair is two of them."""
    rated = [
        Rated(row["messages"], text, liked)
        for row in rows
        for text, liked in ((row["chosen"], True), (row["rejected"], False))
        if text is not None
    ]
    rated.sort(key=lambda one: content_hash([job.recipe.seed, *one], length=64))
    told = arguments(job, scratch, len(rated))
    size = block_size(len(rated), told["per_device_train_batch_size"])
    ordered = interleave(rated, size)
    desirable, undesirable = desirability(sum(one.liked for one in rated), sum(not one.liked for one in rated))
    data = Dataset.from_list(
        [
            {
                "prompt": one.messages,
                "completion": [{"role": "assistant", "content": one.answer}],
                "label": one.liked,
            }
            for one in ordered
        ]
    )
    config = KTOConfig(
        # In order, or the blocks would be torn apart.
        **told | {"per_device_train_batch_size": size, "train_sampling_strategy": "sequential"},
        beta=job.recipe.beta,
        desirable_weight=desirable,
        undesirable_weight=undesirable,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=size,
    )
    return KTOTrainer(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora(job))


def block_size(count: int, batch: int) -> int:
    """Return the least batch of at least 2 and `batch` that leaves no row alone in the last block.

    >>> block_size(9, 8), block_size(16, 8), block_size(3, 1)
    (9, 8, 3)
    """
    size = max(2, batch)
    while count % size == 1 and size < count:
        size += 1
    return size


def interleave(rated: Sequence[Rated], size: int) -> list[Rated]:
    """Return the rows in blocks of `size`, each with its share of both classes and with unlike neighbours.

    Neighbours, the last and the first of a block among them, share neither prompt nor answer wherever the block allows
    it.
    """
    liked, disliked = [one for one in rated if one.liked], [one for one in rated if not one.liked]
    spread = sorted(
        [((i + 0.5) / len(group), one) for group in (liked, disliked) for i, one in enumerate(group)],
        key=lambda placed: placed[0],
    )
    found: list[Rated] = []
    for first in range(0, len(spread), size):
        found += _unlike([one for _, one in spread[first : first + size]])
    return found


def _unlike(block: list[Rated]) -> list[Rated]:
    """Order a block so that as few neighbours as possible, around its end too, are alike.

    The most frequent answers take every second place: no two equal ones meet while none makes more than half.
    """
    often = Counter(one.answer for one in block)
    places = [*range(0, len(block), 2), *range(1, len(block), 2)]
    placed = zip(places, sorted(block, key=lambda one: (-often[one.answer], one.answer)), strict=True)
    ring = [one for _, one in sorted(placed, key=lambda place: place[0])]
    for i in range(len(ring)):
        if _alike(ring[i - 1], ring[i]):
            others = (_swapped(ring, i, j) for j in range(len(ring)))
            ring = min(ring, *others, key=_clashes)  # itself, where no swap helps
    return ring


def _swapped(ring: list[Rated], i: int, j: int) -> list[Rated]:
    other = [*ring]
    other[i], other[j] = other[j], other[i]
    return other


def _clashes(ring: Sequence[Rated]) -> int:
    return sum(_alike(ring[i - 1], one) for i, one in enumerate(ring))


def _alike(one: Rated, other: Rated) -> bool:
    return one.messages == other.messages or one.answer == other.answer
