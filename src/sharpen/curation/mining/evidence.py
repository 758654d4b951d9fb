"""What was answered to each prompt, and what was said and thought of it, as plain values.

In: rows of the store, as they lie there. Out: groups of exchanges, one per prompt. Must not know what they teach.

A million traces would be minutes of validation and gigabytes of objects as records, so rows are read as they were
written: their records were checked when they were made.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from sharpen.curation.mining.signals import meant
from sharpen.records import Critique, Feedback, Record, Trace
from sharpen.store import ERASED, PAYLOADS, TABLES, Store

Raw = tuple[int, str, str | None]  # a row's sequence number, its body, and its words, both as JSON


_ASKED_AT_ONCE = 500  # chosen: below SQLite's oldest limit of 999 variables
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Said(NamedTuple):
    """One Feedback; `seq` is its place among all of them."""

    seq: int
    id: str
    rating: float | None
    correction: str | None
    source: str | None
    better_than: str | None
    signal: str | None = None
    sent: str | None = None


class Thought(NamedTuple):
    """One Critique; `attempts` are the answers on its way that a verifier scored."""

    id: str
    failed: bool
    draft: str | None
    draft_score: float | None
    revision: str | None
    revision_score: float | None
    by_verifier: bool
    attempts: tuple[tuple[str, float], ...]


class Exchange(NamedTuple):
    """One Trace with everything that was said of it, oldest first."""

    seq: int
    id: str
    prompt: str
    reply: str | None
    version: str
    failed: bool
    erased: bool
    said: tuple[Said, ...]
    thought: tuple[Thought, ...]


def prompt_of(messages: Sequence[Any]) -> str:
    """Return a prompt's name: its messages as canonical JSON, so that equal prompts are equal strings."""
    return _COMPACT.encode([[turn["role"], turn["content"]] for turn in messages])


def messages_of(prompt: str) -> list[dict[str, str]]:
    """Return the messages that a prompt's name stands for.

    >>> messages_of(prompt_of([{"role": "user", "content": "Hi"}]))
    [{'role': 'user', 'content': 'Hi'}]
    """
    return [{"role": role, "content": content} for role, content in json.loads(prompt)]


def raw_rows(store: Store, kind: type[Record]) -> list[Raw]:
    """Return every row of a kind as it lies in the store, oldest first."""
    table = TABLES[kind.prefix]
    source = table.outerjoin(PAYLOADS, PAYLOADS.c.record_id == table.c.id)
    query = sa.select(table.c.seq, table.c.body, PAYLOADS.c.body).select_from(source).order_by(table.c.seq)
    with store.reading() as connection:
        return [(seq, body, words) for seq, body, words in connection.execute(query)]


def evidence(store: Store) -> list[list[Exchange]]:
    """Return what the store holds, grouped by prompt, both in the order in which they began."""
    return grouped(raw_rows(store, Trace), raw_rows(store, Feedback), raw_rows(store, Critique))


def sampled(store: Store, most: int, seed: int) -> list[Exchange]:
    """Return up to `most` exchanges, drawn by `seed`, whether anybody spoke of them or not, oldest first."""
    table = TABLES[Trace.prefix]
    with store.reading() as connection:
        names = [name for (name,) in connection.execute(sa.select(table.c.id).order_by(table.c.seq))]
    chosen = names if len(names) <= most else random.Random(seed).sample(names, most)  # noqa: S311 - nothing secret
    said, thought, _ = _spoken(_about(store, Feedback, chosen), _about(store, Critique, chosen))
    return [
        _exchange(seq, told, json.loads(words) if words else None, said[told["id"]], thought[told["id"]])
        for seq, told, words in sorted(
            (seq, json.loads(body), words) for seq, body, words in _about(store, Trace, chosen)
        )
    ]


def _about(store: Store, kind: type[Record], traces: Sequence[str]) -> Iterator[Raw]:
    table = TABLES[kind.prefix]
    key = table.c.id if kind is Trace else table.c.subject
    query = sa.select(table.c.seq, table.c.body, PAYLOADS.c.body).order_by(table.c.seq)
    query = query.select_from(table.outerjoin(PAYLOADS, PAYLOADS.c.record_id == table.c.id))
    with store.reading() as connection:
        for start in range(0, len(traces), _ASKED_AT_ONCE):
            for row in connection.execute(query.where(key.in_(traces[start : start + _ASKED_AT_ONCE]))):
                yield row[0], row[1], row[2]


def grouped(traces: Iterable[Raw], feedback: Iterable[Raw], critiques: Iterable[Raw]) -> list[list[Exchange]]:
    """Return the exchanges that somebody or something spoke of, grouped by prompt; the others only where compared."""
    said, thought, compared = _spoken(feedback, critiques)
    groups: dict[str, list[Exchange]] = {}
    for seq, body, words in traces:
        told = json.loads(body)
        name = told["id"]
        if name in said or name in thought or name in compared:
            one = _exchange(seq, told, json.loads(words) if words else None, said.get(name, ()), thought.get(name, ()))
            groups.setdefault(one.prompt, []).append(one)
    return list(groups.values())


def _spoken(
    feedback: Iterable[Raw], critiques: Iterable[Raw]
) -> tuple[defaultdict[str, list[Said]], defaultdict[str, list[Thought]], set[str]]:
    """Return what was said and thought of each trace, and the traces that others were found better than."""
    said: defaultdict[str, list[Said]] = defaultdict(list)
    compared: set[str] = set()
    for seq, body, words in feedback:
        about, feedback_said = _said(seq, json.loads(body), json.loads(words) if words else {})
        said[about].append(feedback_said)
        if feedback_said.better_than is not None:
            compared.add(feedback_said.better_than)
    thought: defaultdict[str, list[Thought]] = defaultdict(list)
    for _, body, words in critiques:
        about, found = _thought(json.loads(body), json.loads(words) if words else {})
        thought[about].append(found)
    return said, thought, compared


def _exchange(
    seq: int, told: dict[str, Any], words: dict[str, Any] | None, said: Sequence[Said], thought: Sequence[Thought]
) -> Exchange:
    messages = words["messages"] if words else [{"role": "user", "content": ERASED}]
    reply = words["reply"] if words else None
    return Exchange(
        seq=seq,
        id=told["id"],
        prompt=prompt_of(messages),
        reply=reply,
        version=told["version_id"],
        failed=told["error"] is not None or told["finish_reason"] == "error",
        erased=any(turn["content"] == ERASED for turn in messages),
        said=tuple(_acted(one, reply) if one.signal else one for one in said),
        thought=tuple(thought),
    )


def _said(seq: int, told: dict[str, Any], words: dict[str, Any]) -> tuple[str, Said]:
    one = Said(
        seq=seq,
        id=told["id"],
        rating=told["rating"],
        correction=words.get("correction"),
        source=told.get("source_id"),
        better_than=told.get("better_than"),
        signal=told.get("signal"),
        sent=words.get("sent"),
    )
    return told["trace_id"], one


def _acted(one: Said, reply: str | None) -> Said:
    rating, correction = meant(one.signal or "", one.sent, reply)
    return one._replace(rating=rating, correction=correction)


def _thought(told: dict[str, Any], words: dict[str, Any]) -> tuple[str, Thought]:
    steps = words.get("steps") or []
    one = Thought(
        id=told["id"],
        failed=told["error"] is not None,
        draft=words.get("draft"),
        draft_score=told["draft_score"],
        revision=words.get("revision"),
        revision_score=told["revision_score"],
        by_verifier=told.get("scored_by", "verifier") == "verifier",
        attempts=tuple((step["output"], step["verified"]) for step in steps if step.get("verified") is not None),
    )
    return told["trace_id"], one
