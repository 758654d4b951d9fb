"""Which examples count more, and which come first: by what goes wrong again and again, and by what builds on what.

In: examples, and what is remembered and known. Out: the same examples, weighted and in order. Must not know how they
are trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sharpen.config import Config
from sharpen.errors import ConfigError, Refused
from sharpen.fairness.feedback import LEAST, Weighed, weighed
from sharpen.memory.curriculum import curriculum
from sharpen.memory.failures import failure_weights, failures, patterns
from sharpen.memory.knowledge import Knowledge
from sharpen.memory.vectors import embedder_of
from sharpen.records import Example, Memory, content_hash
from sharpen.store import ERASED, Store

_DIGITS = 4  # chosen: of a weight; finer differences change no training


def emphasised(config: Config, store: Store, examples: list[Example]) -> list[Example]:
    """Weight by `[integrity]` and `[curation] failure_weight`, order by `[curation] order`; by default nothing changes.

    Raises: ConfigError where a curriculum is asked for and no knowledge is kept; Refused when a weight is none;
    MissingExtra; StoreError.
    """
    settings = config.curation
    if config.integrity.weigh and (feedback := by_integrity(config, store)) is not None:
        examples = by_factor(examples, [feedback.factor(one.evidence) for one in examples])
    if settings.failure_weight > 1:
        examples = weighted(examples, past_weights(config, store))
    if settings.order == "curriculum":
        examples = ordered(config, store, examples)
    return examples


def by_integrity(config: Config, store: Store) -> Weighed | None:
    """Return what each piece of feedback is worth; None where there is none."""
    return weighed(store, config.integrity, embed=lambda texts: embedder_of(config).embed_documents(texts))


def past_weights(config: Config, store: Store) -> Mapping[str, float]:
    """Return, per record that failed, how much more its example counts: those of the largest pattern the most."""
    tenant = config.memory.tenant
    kept = [one for one in store.find(Memory) if one.tenant == tenant and one.reply != ERASED]
    found = patterns(failures(kept), embedder_of(config)) if kept else []
    return failure_weights(found, config.curation.failure_weight)


def weighted(examples: list[Example], weights: Mapping[str, float]) -> list[Example]:
    """Multiply each example's weight by that of the worst failure it rests on; the weight is part of its name."""
    return [_times(one, max((weights.get(name, 1.0) for name in one.evidence), default=1.0)) for one in examples]


def by_factor(examples: list[Example], factors: Sequence[float]) -> list[Example]:
    """Multiply each example's weight by its factor. Raises: Refused when there is not one number over 0 for each."""
    if len(factors) != len(examples) or not all(math.isfinite(one) and one > 0 for one in factors):
        raise Refused(
            f"{len(examples)} examples were given {len(factors)} weights, not one number over 0 for each.",
            "an example that must not count is dropped by a filter, not by its weight",
        )
    return [_times(one, float(factor)) for one, factor in zip(examples, factors, strict=True)]


def _times(one: Example, factor: float) -> Example:
    weight = max(round(one.weight * factor, _DIGITS), LEAST)
    if weight == one.weight:
        return one
    return one.model_copy(update={"weight": weight, "id": f"exa_{content_hash((one.id, weight))}"})


def ordered(config: Config, store: Store, examples: list[Example]) -> list[Example]:
    """Put what others build on first, by the hierarchy of the knowledge graph; equals keep their order."""
    if not config.memory.knowledge:
        raise ConfigError(
            "[curation] order = 'curriculum' follows the knowledge graph, and none is kept.",
            "[memory] knowledge = true",
        )
    knowledge = Knowledge.of(config, store)
    try:
        return [examples[place] for place in curriculum(examples, knowledge)]
    finally:
        knowledge.close()
