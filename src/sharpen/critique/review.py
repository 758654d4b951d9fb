"""What waits for a person: critiques that the loop could not decide, and what a person may decide.

In: the store. Out: cases to look at; a decision as the feedback that it is. Must not write anything.

The queue is the records themselves: a critique that wants a look waits until somebody says something of its exchange.
So nothing is lost when a process is killed, a decision is taken up by the next cycle like any other correction, and the
loop never stands still for a person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from sharpen.errors import NotFound, Refused
from sharpen.records import Critique, Feedback, Trace
from sharpen.store import ERASED, Store

Choice = Literal["draft", "revision", "other"]


class Waiting(NamedTuple):
    """One exchange that a person should look at."""

    critique: Critique
    question: str
    why: str


class Decision(NamedTuple):
    """What is to be recorded: a rating of the draft, or a correction; `key` makes it happen once."""

    trace_id: str
    rating: float | None
    correction: str | None
    key: str


def waiting(store: Store) -> list[Waiting]:
    """Return what waits, the worst first: biased, then contested, then what ran out of rounds; older ones first."""
    last_said: dict[str, datetime] = {}
    for said in store.find(Feedback):
        last_said[said.trace_id] = said.at
    newest = {one.trace_id: one for one in store.find(Critique)}
    wanted = [one for one in newest.values() if one.needs_review and not _is_answered(one, last_said)]
    traces = {one.id: one for one in store.find(Trace, ids=[one.trace_id for one in wanted])} if wanted else {}
    rank = {"biased": 0, "contested": 1}
    found = [
        Waiting(one, traces[one.trace_id].messages[-1].content, _why(one))
        for one in wanted
        if one.trace_id in traces and traces[one.trace_id].messages[-1].content != ERASED
    ]
    return sorted(found, key=lambda one: rank.get(one.critique.stop_reason, 2))  # stable: older ones first


def decide(store: Store, critique_id: str, choice: Choice, other: str | None = None) -> Decision:
    """Return a decision as feedback. Raises: NotFound; Refused where there is nothing of that kind to choose."""
    found = store.find(Critique, ids=[critique_id])
    if not found:
        raise NotFound(f"There is no critique '{critique_id}'.", "sharpen review list")
    one = found[0]
    key = f"review {critique_id}"
    if choice == "draft":
        return Decision(one.trace_id, 1.0, None, key)
    text = one.revision if choice == "revision" else other
    if not text or not text.strip():
        missing = "has no revision" if choice == "revision" else "needs the right answer"
        raise Refused(f"The decision on '{critique_id}' {missing}.", "sharpen review decide ID other 'the answer'")
    return Decision(one.trace_id, None, text, key)


def _is_answered(one: Critique, last_said: dict[str, datetime]) -> bool:
    said = last_said.get(one.trace_id)
    return said is not None and said > one.at


def _why(one: Critique) -> str:
    told = [step.output for step in one.steps if step.name in ("probe", "integrate")]
    return f"{one.stop_reason}: {told[-1]}" if told else one.stop_reason
