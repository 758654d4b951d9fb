"""Turn evidence into training examples, at most one per trace.

In: every Trace, Feedback and Critique of the store. Out: Examples, and how many traces gave none, per reason. Must not
know which examples survive the filters.

A person's correction is the strongest evidence; the model's own answer counts only where a verifier accepted it, or a
person liked it and no verifier refused it. A bad rating alone says what is wrong, not what is right: it gives nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from sharpen.config import CurationSection
from sharpen.records import Critique, Example, Feedback, Message, Origin, Trace, content_hash
from sharpen.store import ERASED, Store

T = TypeVar("T", Feedback, Critique)

ACCEPTED = 1.0  # a verifier's score of a right answer
LIKED = 0.5  # chosen: a rating clearly on the good side of -1 to 1


class Find(NamedTuple):
    """What one trace teaches."""

    chosen: str
    rejected: str | None
    origin: Origin
    evidence: tuple[str, ...]


def mine(store: Store, settings: CurationSection, cycle_id: str) -> tuple[list[Example], dict[str, int]]:
    """Return the examples, in the order of their traces, and the number of traces dropped per reason.

    A trace that nobody spoke of is not counted. Reasons: failed, erased, contradicting (people or verifiers disagree
    and nobody wins), empty (nothing but white space to learn), no_answer (nothing says what is right), and merged (the
    same prompt and answer as an earlier trace: its evidence is added to that example).
    """
    feedback, critiques = _by_trace(store.find(Feedback)), _by_trace(store.find(Critique))
    found: dict[tuple[tuple[Message, ...], str, Origin], Find] = {}
    dropped: Counter[str] = Counter()
    for trace in store.find(Trace):
        said, thought = feedback[trace.id], critiques[trace.id]
        if not said and not thought:
            continue
        find = _unusable(trace) or _find(trace, said, thought, settings)
        if isinstance(find, str):
            dropped[find] += 1
            continue
        key = (trace.messages, find.chosen, find.origin)
        if key in found:
            dropped["merged"] += 1
            first = found[key]
            find = first._replace(rejected=first.rejected or find.rejected, evidence=first.evidence + find.evidence)
        found[key] = find
    return [example(cycle_id, messages, find) for (messages, _, _), find in found.items()], dict(dropped)


def example(cycle_id: str, messages: tuple[Message, ...], find: Find) -> Example:
    """Return the Example, named by the cycle and by everything it says.

    The evidence is part of the name: feedback that comes between a crash and the next start makes another example, it
    does not collide with the first.
    """
    content = (cycle_id, [message.model_dump() for message in messages], *find)
    return Example(id=f"exa_{content_hash(content)}", cycle_id=cycle_id, messages=messages, **find._asdict())


def _unusable(trace: Trace) -> str | None:
    if trace.error is not None or trace.finish_reason == "error":
        return "failed"
    return "erased" if any(message.content == ERASED for message in trace.messages) else None


def _find(trace: Trace, said: Sequence[Feedback], thought: Sequence[Critique], settings: CurationSection) -> Find | str:
    """Return what the trace teaches, the strongest evidence first, or why it teaches nothing."""
    corrections = [feedback for feedback in said if feedback.correction is not None]
    if settings.corrections and corrections:
        return _corrected(trace, corrections)
    if settings.own_answers:
        return _own_answer(trace, said, thought)
    return "no_answer"


def _corrected(trace: Trace, corrections: Sequence[Feedback]) -> Find | str:
    """Let each source's newest correction vote; anonymous corrections are one source."""
    newest = {feedback.source_id: feedback for feedback in corrections if (feedback.correction or "").strip()}
    votes: defaultdict[str, list[str]] = defaultdict(list)
    for feedback in newest.values():
        votes[(feedback.correction or "").strip()].append(feedback.id)
    if not votes:
        return "empty"
    ranked = sorted(votes, key=lambda text: -len(votes[text]))
    chosen = ranked[0]
    if len(ranked) > 1 and len(votes[ranked[1]]) == len(votes[chosen]):
        return "contradicting"
    return Find(chosen, _other(trace.reply, chosen), "correction", (trace.id, *votes[chosen]))


def _own_answer(trace: Trace, said: Sequence[Feedback], thought: Sequence[Critique]) -> Find | str:
    """Take the draft, or its revision, as the newest critique that did not fail scored them; or a reply that was liked.

    Where a verifier and a rating disagree, the verifier wins.
    """
    critique = next((critique for critique in reversed(thought) if critique.error is None), None)
    liked = _liked(said)
    if critique is not None and critique.draft_score is not None:
        evidence = (trace.id, critique.id)
        if critique.draft_score >= ACCEPTED:
            return _answer(critique.draft, None, "verified", evidence)
        if (critique.revision_score or 0.0) >= ACCEPTED:
            return _answer(critique.revision, critique.draft, "revision", evidence)
        return "contradicting" if liked else "no_answer"
    if liked:
        return _answer(trace.reply, None, "verified", (trace.id, *liked))
    if critique is not None and (critique.revision_score or 0.0) >= ACCEPTED:
        return _answer(critique.revision, critique.draft, "revision", (trace.id, critique.id))
    return "no_answer"


def _liked(said: Sequence[Feedback]) -> tuple[str, ...]:
    """Return the good ratings' ids, or nothing where anyone corrected or disliked the reply."""
    if any(feedback.correction is not None or (feedback.rating or 0.0) < 0 for feedback in said):
        return ()
    return tuple(feedback.id for feedback in said if (feedback.rating or 0.0) >= LIKED)


def _answer(chosen: str | None, rejected: str | None, origin: Origin, evidence: tuple[str, ...]) -> Find | str:
    text = (chosen or "").strip()
    return Find(text, _other(rejected, text), origin, evidence) if text else "empty"


def _other(reply: str | None, chosen: str) -> str | None:
    """Return the reply where it can be told from the answer to learn."""
    return reply if reply and reply.strip() and reply.strip() != chosen else None


def _by_trace(records: Iterable[T]) -> defaultdict[str, list[T]]:
    groups: defaultdict[str, list[T]] = defaultdict(list)
    for record in records:
        groups[record.trace_id].append(record)
    return groups
