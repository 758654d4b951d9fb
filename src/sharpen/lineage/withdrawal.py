"""Somebody takes their words back: what rests on an exchange, a session or a source, and who learned from it.

In: a store, and whose words. Out: ids by kind, and the same records without words. Must not know other files.

Records stay, as tombstones that say what rested on what: so a withdrawal that was killed half way finds the rest again,
and a version that learned from erased words can be told from one that did not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sharpen.errors import NotFound
from sharpen.lineage.exposure import Descent, descent
from sharpen.records import Critique, Example, Feedback, Memory, Source, Trace
from sharpen.store import Store


class Withdrawn(NamedTuple):
    """Ids of what rests on the words, by kind, and what was made of it."""

    exchanges: tuple[str, ...]
    feedback: tuple[str, ...]
    critiques: tuple[str, ...]
    examples: tuple[str, ...]
    memories: tuple[str, ...]
    made: Descent

    @property
    def worded(self) -> tuple[str, ...]:
        """Everything that holds words."""
        return (*self.exchanges, *self.feedback, *self.critiques, *self.examples, *self.memories)


def resting_on(
    store: Store, *, exchanges: Collection[str] = (), session: str | None = None, source: str | None = None
) -> Withdrawn:
    """Return everything that rests on these exchanges, on those of a session, or on what a source said.

    What a source said takes the feedback along, not the exchanges it was said of: those may be somebody else's. Raises:
    NotFound when one of them is not there.
    """
    traces = {one.id for one in store.find(Trace, ids=sorted(exchanges))} if exchanges else set()
    if missing := set(exchanges) - traces:
        raise NotFound(f"There is no exchange '{min(missing)}'.", "use the `id` of a chat completion")
    if session is not None:
        traces |= {one.id for one in store.find(Trace, subjects=[session])}
    said = {one.id for one in store.find(Feedback, subjects=sorted(traces))} if traces else set()
    if source is not None:
        ids = {one.id for one in store.find(Source) if source in (one.id, one.name)}
        said |= {one.id for one in store.find(Feedback) if one.source_id in ids}
    if not traces | said:
        raise NotFound("Nothing of theirs is kept.", "sharpen show  counts what there is")
    thought = {one.id for one in store.find(Critique, subjects=sorted(traces))} if traces else set()
    roots = traces | said | thought
    examples = {one.id for one in store.find(Example) if roots & set(one.evidence)}
    remembered = store.find(Memory)
    memories: set[str] = set()
    while fresh := {one.id for one in remembered if (roots | examples | memories) & set(one.evidence)} - memories:
        memories |= fresh  # a lesson may rest on a reflection, which rests on the exchange
    return Withdrawn(
        exchanges=tuple(sorted(traces)),
        feedback=tuple(sorted(said)),
        critiques=tuple(sorted(thought)),
        examples=tuple(sorted(examples)),
        memories=tuple(sorted(memories)),
        made=descent(store, examples),
    )


def erase(store: Store, withdrawn: Withdrawn) -> int:
    """Take the words of all of it away; return how many records had some. Raises: StoreError."""
    return sum(store.erase(one) for one in withdrawn.worded)


def learned_erased(store: Store) -> frozenset[str]:
    """Return the versions that learned, themselves or from a parent, from words that were erased since."""
    made = descent(store, store.erased(Example))
    return frozenset((*made.versions, *made.descendants))
