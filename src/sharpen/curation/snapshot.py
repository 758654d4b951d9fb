"""Freeze what is to be learned into an immutable training set, named by what it says.

In: the store and held-out cases. Out: a Snapshot with its Examples, written in one transaction; rows for a trainer.
Must not know how it is trained on.

Equal content gives an equal name: a cycle that finds nothing new gets the snapshot of the cycle before.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sharpen.config import CurationSection
from sharpen.curation.bias.consented import consented
from sharpen.curation.bundle import write_bundle
from sharpen.curation.candidate import Candidate, turns
from sharpen.curation.choose import Embedding
from sharpen.curation.datasheet import datasheet, judge
from sharpen.curation.features import Features
from sharpen.curation.mining.evidence import sampled
from sharpen.curation.mining.find import Find
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection, select
from sharpen.errors import Refused
from sharpen.failpoints import failpoint
from sharpen.records import Case, Example, Message, ModelVersion, Snapshot, content_hash
from sharpen.store import ERASED, Store

Row = dict[str, Any]


def build_snapshot(
    store: Store,
    settings: CurationSection,
    cycle_id: str,
    held_out: Sequence[Case],
    seed: int,
    *,
    shuffled_labels: bool = False,
    embedding: Embedding | None = None,
    folder: Path | None = None,
    emphasise: Callable[[list[Example]], list[Example]] = list,
    describe: Callable[[Sequence[Candidate]], Features] | None = None,
) -> Snapshot | None:
    """Mine, filter, order and write the training set; None where there are fewer than `settings.min_examples`.

    The order is drawn by `seed` from the content alone. A snapshot of the same content that an earlier cycle wrote is
    returned as it stands, and nothing is written. `shuffled_labels` permutes the answers among the prompts: a negative
    control, which must not train into anything better. `embedding` opens the embedder that `[curation] meaning` asks;
    `folder` is where an engine other than the local one keeps its shards. `emphasise` may weight the chosen examples
    and order them anew; `describe` measures what is left, for the datasheet and the files.

    Raises: BiasFound where `settings.bias` is 'hold' and there are signs of it.
    """
    plan = Plan.of(settings, held_out, seed, [version.id for version in store.find(ModelVersion)])
    selection = select(store, plan, embedding=embedding, folder=folder)
    if len(selection.kept) < settings.min_examples:
        return None
    examples = emphasise([_of_candidate(cycle_id, selection.rows[place]) for place in selection.kept])
    if shuffled_labels:
        examples = _shuffle_labels(examples, seed)
    digest = content_hash((shuffled_labels, [_row(one) for one in examples]))
    page: dict[str, Any] = {}
    if not shuffled_labels:
        chosen, features = _as_emphasised(selection, examples), None
        if settings.bias != "off":
            exchanges = sampled(store, settings.bias_sample, seed)
            page = datasheet(settings, chosen, exchanges, seed, consented(store))
            judge(page, settings)
        if describe is not None and settings.features:
            features = describe(chosen.rows)
            page["features"] = features.summary()
        if settings.snapshots:
            write_bundle(settings.snapshots, f"snp_{digest}", chosen, plan, datasheet=page, features=features)
    earlier = store.find(Snapshot, ids=[f"snp_{digest}"])
    if earlier:
        if not any(map(_erased, _examples(store, earlier[0]))):
            return earlier[0]
        # The same words came back after they were erased from the earlier one: that one keeps its gap and its name.
        digest = content_hash((digest, cycle_id))
    snapshot = Snapshot(
        id=f"snp_{digest}",
        cycle_id=cycle_id,
        example_ids=tuple(one.id for one in examples),
        counts=dict(Counter(one.origin for one in examples)),
        dropped=selection.counts,
        shuffled_labels=shuffled_labels,
        datasheet=page,
    )
    failpoint("curate.before_write")
    store.append(*examples, snapshot)
    failpoint("curate.after_write")
    return snapshot


def to_rows(store: Store, snapshot: Snapshot) -> list[Row]:
    """Return the snapshot as rows of messages, chosen, rejected, weight and reference, in training order.

    A row has an answer to learn, one to unlearn, or both; `reference` is the right answer where a person gave it.
    Raises: Refused when words were erased from it since.
    """
    examples = _examples(store, snapshot)
    erased = sum(map(_erased, examples))
    if erased:
        raise Refused(f"{erased} examples of snapshot '{snapshot.id}' were erased.", "sharpen cycle  builds a new one")
    return [_row(one) for one in examples]


def example(cycle_id: str, messages: tuple[Message, ...], find: Find, weight: float = 1.0) -> Example:
    """Return the Example, named by the cycle and by everything it says.

    The evidence is part of the name: feedback that comes between a crash and the next start makes another example, it
    does not collide with the first.
    """
    content = (cycle_id, [message.model_dump() for message in messages], *find, weight)
    name = f"exa_{content_hash(content)}"
    return Example(id=name, cycle_id=cycle_id, messages=messages, weight=weight, **find._asdict())


def _of_candidate(cycle_id: str, one: Candidate) -> Example:
    messages = tuple(Message.model_validate({"role": role, "content": content}) for role, content in turns(one.prompt))
    find = Find(one.chosen, one.rejected, one.origin, one.evidence, one.margin, one.reference)
    return example(cycle_id, messages, find, one.weight)


def _as_emphasised(selection: Selection, examples: Sequence[Example]) -> Selection:
    """Return the selection with the examples' weights, in their order: files and store say the same."""
    chosen = [selection.rows[place] for place in selection.kept]
    by_find = {(one.evidence, one.origin, one.chosen, one.rejected): one for one in chosen}
    told = [((one.evidence, one.origin, one.chosen, one.rejected), one.weight) for one in examples]
    rows = [by_find[find]._replace(weight=weight) for find, weight in told]
    return Selection(rows, list(range(len(rows))), selection.dropped)


def _examples(store: Store, snapshot: Snapshot) -> list[Example]:
    by_id = {one.id: one for one in store.find(Example, subjects=[snapshot.cycle_id])}
    return [by_id[example_id] for example_id in snapshot.example_ids]


def _erased(one: Example) -> bool:
    return one.chosen == ERASED


def _row(one: Example) -> Row:
    return one.model_dump(mode="json", include={"messages", "chosen", "rejected", "weight", "reference"})


def _shuffle_labels(examples: Sequence[Example], seed: int) -> list[Example]:
    """Give each prompt the answer of another, of another text wherever that can be done.

    A random permutation, then each prompt that kept its own text swaps with one that loses nothing by it. Where no
    such partner is left, more than half of all answers are that text, and no permutation does better.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    examples = [one for one in examples if one.chosen is not None]  # what only unlearns has no label to shuffle
    own = [one.chosen for one in examples]
    dealt = chance.sample(own, len(own))
    for i, text in enumerate(own):
        if dealt[i] == text:
            partners = [j for j, other in enumerate(own) if other != text and dealt[j] != text]
            if partners:
                j = chance.choice(partners)
                dealt[i], dealt[j] = dealt[j], dealt[i]
    return [
        example(one.cycle_id, one.messages, Find(text, None, one.origin, one.evidence), one.weight)
        for one, text in zip(examples, dealt, strict=True)
    ]
