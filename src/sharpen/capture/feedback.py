"""What was said of exchanges becomes Feedback: many sayings in one transaction, each with an outcome of its own.

In: `Saying`s. Out: Feedback that is on disk. Must not know HTTP.

A client that got no answer sends the same again, with the same key: it is written once, and both calls return it. What
is said of an exchange by its client's own name may come before the exchange: it waits under that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.capture.saying import Saying, SourceType, is_plain
from sharpen.errors import NotFound, Refused, SharpenError
from sharpen.records import Feedback, Record, Source, Trace
from sharpen.store import Store

__all__ = ["Conflict", "Recorded", "SourceType", "is_plain", "record_feedback", "record_sayings"]


class Conflict(Refused):
    """The name is taken by something else."""


@dataclass(frozen=True)
class Recorded:
    """What a saying became: Feedback, the main one first; `waits` tells that its exchange has not come yet."""

    feedback: tuple[Feedback, ...]
    waits: bool = False


def record_feedback(store: Store, **said: Any) -> Feedback:
    """Write down what was said of a Trace, in the words of `Saying`; it is on disk when this returns.

    Raises: Refused when nothing or nonsense was said; NotFound when there is no such Trace; Conflict when the key came
    before with other content, or the source as another type; StoreError.
    """
    [outcome] = record_sayings(store, [Saying(**said)])
    if isinstance(outcome, SharpenError):
        raise outcome
    return outcome.feedback[0]


def record_sayings(store: Store, sayings: Sequence[Saying]) -> list[Recorded | SharpenError]:
    """Write down many sayings in one transaction; what is wrong with one is its own outcome. Raises: StoreError.

    All that is good is on disk when this returns.
    """
    known = _known(store, sayings)
    outcomes: list[Recorded | SharpenError] = []
    fresh: dict[int, list[Record]] = {}
    new_sources: dict[str, Source] = {}
    for place, said in enumerate(sayings):
        try:
            said.check()
            made = said.feedback()
            outcome = Recorded(tuple(made), waits=_check_exchanges(known.traces, said, made))
            records = [*_source(known.sources, new_sources, said), *made]
        except (Refused, NotFound) as error:
            outcomes.append(error)
            continue
        outcomes.append(outcome)
        fresh[place] = records
    again = {place: fresh.pop(place) for place in list(fresh) if _came_before(sayings, place, known.keyed)}
    try:
        store.append(*[record for records in fresh.values() for record in records])
    except Refused:  # another process came first with one of the names: find out which
        again = fresh | again
    for place, records in again.items():
        outcomes[place] = _write_one(store, sayings[place], records, outcomes[place])
    return outcomes


@dataclass(frozen=True)
class _Known:
    """What the store holds of what the sayings name."""

    traces: Mapping[str, Trace]
    sources: Mapping[str, Source]
    keyed: frozenset[str]


def _known(store: Store, sayings: Sequence[Saying]) -> _Known:
    usable = [said for said in sayings if _is_usable(said)]
    named = {name for said in usable for name in (said.about, said.better_than, *said.ranking) if name}
    ids = {said.source_id for said in usable if said.source_id}
    keys = {one.id for said in usable if said.key is not None for one in said.feedback()}
    return _Known(
        traces={one.id: one for one in store.find(Trace, ids=sorted(named))} if named else {},
        sources={one.id: one for one in store.find(Source, ids=sorted(ids))} if ids else {},
        keyed=frozenset(one.id for one in store.find(Feedback, ids=sorted(keys))) if keys else frozenset(),
    )


def _is_usable(said: Saying) -> bool:
    try:
        said.check()
    except Refused:
        return False
    return True


def _came_before(sayings: Sequence[Saying], place: int, keyed: frozenset[str]) -> bool:
    """Tell whether this key is in the store, or came earlier in this very portion."""
    key = sayings[place].key
    if key is None:
        return False
    return any(said.key == key for said in sayings[:place]) or any(one.id in keyed for one in sayings[place].feedback())


def _write_one(store: Store, said: Saying, records: Sequence[Record], outcome: Any) -> Recorded | SharpenError:
    try:
        store.append(*records)
    except Refused as error:
        if said.key is None:
            return error
        conflict = Conflict(
            f"Feedback '{said.key}' was given before, with other content.", "use a new id for new feedback"
        )
        conflict.__cause__ = error
        return conflict
    assert isinstance(outcome, Recorded)
    return outcome


def _check_exchanges(traces: Mapping[str, Trace], said: Saying, made: Sequence[Feedback]) -> bool:
    """Return whether the exchange is still to come. Raises: NotFound, Refused."""
    for one in made:
        for name in filter(None, (one.trace_id, one.better_than)):
            if name in traces or (said.exchange is not None and name == said.about):
                continue
            raise NotFound(
                f"There is no exchange '{name}'.",
                "use the `id` of a chat completion; with `traces = false` under [capture] none is kept",
            )
        if one.better_than is not None and not _compares(traces, one.trace_id, one.better_than):
            raise Refused(
                f"'{one.trace_id}' and '{one.better_than}' are not two answers to one prompt.",
                "compare answers to the same messages",
            )
    return said.about not in traces


def _compares(traces: Mapping[str, Trace], better: str, worse: str) -> bool:
    is_there = better in traces and worse in traces and better != worse
    return is_there and traces[better].messages == traces[worse].messages


def _source(known: Mapping[str, Source], new: dict[str, Source], said: Saying) -> list[Record]:
    """Return the one Source of this name where the store has none. Raises: Conflict when it is of another type.

    Each saying brings it along: the one that came first may turn out not to be written.
    """
    if said.source_id is None or said.source is None:
        return []
    there = known.get(said.source_id) or new.setdefault(
        said.source_id, Source(id=said.source_id, name=said.source, type=said.source_type or "human")
    )
    if said.source_type not in (None, there.type):
        raise Conflict(f"The source '{said.source}' is known as a {there.type}.", "give a new source another name")
    return [] if said.source_id in known else [there]
