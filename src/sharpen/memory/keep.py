"""What is worth remembering of what happened, as Memory records.

In: critiques, feedback, a promotion, documents. Out: Memory records in the store, each with its evidence. Must not know
how they are found again.

The store is the truth; indexes are copies. Keeping is idempotent: a memory is named by its type, its words, its tenant
and the record it is about, so that a step that runs twice, or another cycle over the same exchanges, adds nothing. What
was erased stays erased.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from sharpen.errors import Refused
from sharpen.memory.words import asked
from sharpen.records import (
    Critique,
    Example,
    Feedback,
    Memory,
    MemoryType,
    Message,
    Snapshot,
    Trace,
    Verdict,
    content_hash,
)
from sharpen.store import ERASED, Store

PASSAGE = 1_000  # chosen: characters; about 200 words, which is what small embedding models read
_PER_CYCLE = ("crt_", "exa_", "vdt_")
LONGEST_DOCUMENT = 4_000_000  # chosen: characters; longer is refused, not cut


def remember(
    store: Store,
    messages: Sequence[Message],
    reply: str,
    evidence: Sequence[str],
    type: MemoryType = "example",
    *,
    tenant: str = "default",
    rejected: str | None = None,
    score: float | None = None,
    reason: str | None = None,
) -> Memory:
    """Write a Memory, or return the one that is there: the same words about the same record are remembered once.

    `evidence` holds the ids of the records it rests on, at least one.
    """
    memory = _memory(type, messages, reply, evidence, tenant, rejected=rejected, score=score, reason=reason)
    return _keep(store, [memory])[0]


def about(memory: Memory) -> str:
    """Return the record that a memory is chiefly about: the exchange, where it rests on one."""
    return next((one for one in memory.evidence if one.startswith("trc_")), memory.evidence[0])


def is_good(memory: Memory) -> bool:
    """Tell whether a memory shows something worth repeating; what nobody could score counts as good."""
    return memory.score is None or memory.score >= 0.5


def keep_critiques(
    store: Store, critiques: Iterable[Critique], *, tenant: str = "default", without: Collection[str] = ()
) -> list[Memory]:
    """Keep what critiques found: scores with reasons, better answers beside the bad, faults, reflections, lessons.

    A reflection becomes a lesson only if the verifier scored the revision above the draft. `without` holds prompts that
    measure, and so must not be remembered.
    """
    done = [one for one in critiques if one.error is None and one.draft is not None]
    traces = {trace.id: trace for trace in store.find(Trace, ids=[one.trace_id for one in done])}
    kept = []
    for critique in done:
        trace = traces.get(critique.trace_id)
        if trace is not None and _may_keep(trace.messages, without):
            kept += _of_critique(critique, trace, tenant)
    return _keep(store, kept)


def keep_feedback(
    store: Store, feedback: Iterable[Feedback], *, tenant: str = "default", without: Collection[str] = ()
) -> list[Memory]:
    """Keep what people said: corrections beside what they corrected, ratings with their comments as reasons."""
    said = list(feedback)
    traces = {trace.id: trace for trace in store.find(Trace, ids=[one.trace_id for one in said])}
    kept = []
    for one in said:
        trace = traces.get(one.trace_id)
        if trace is None or trace.reply is None or not _may_keep(trace.messages, without):
            continue
        evidence = (trace.id, one.id)
        correction = (one.correction or "").strip()
        if correction and correction != ERASED:
            reason = one.comment or "a person corrected it"
            memory = _memory(
                "contrast", trace.messages, correction, evidence, tenant, rejected=trace.reply, score=1.0, reason=reason
            )
            kept.append(memory)
        if one.rating is not None:
            worth = (one.rating + 1) / 2
            reason = one.comment or "a person rated it"
            kept.append(_memory("score", trace.messages, trace.reply, evidence, tenant, score=worth, reason=reason))
    return _keep(store, kept)


def keep_promoted(
    store: Store, snapshot: Snapshot, verdict: Verdict, *, tenant: str = "default", without: Collection[str] = ()
) -> list[Memory]:
    """Keep the examples that a promoted version learned from: what they teach has passed the gate."""
    if verdict.decision != "promote" or snapshot.shuffled_labels:
        return []
    examples = store.find(Example, ids=snapshot.example_ids)
    kept = [
        _memory(
            "example",
            one.messages,
            str(one.chosen),
            (*one.evidence, one.id, verdict.id),
            tenant,
            rejected=one.rejected,
            reason=f"{one.origin}; the version that learned it was promoted",
        )
        for one in examples
        if one.chosen not in (None, ERASED) and _may_keep(one.messages, without)
    ]
    return _keep(store, kept)


def keep_document(store: Store, text: str, source: str, *, tenant: str = "default") -> list[Memory]:
    """Keep a document as passages of about a thousand characters; `source` is where it came from.

    Raises: Refused when it has no words, or more than four million characters.
    """
    if len(text) > LONGEST_DOCUMENT:
        raise Refused(f"The document has {len(text)} characters.", f"cut it into parts of at most {LONGEST_DOCUMENT}")
    if not text.strip():
        raise Refused("The document has no words.", "check the file")
    name = f"doc_{content_hash(('document', source), 32)}"
    return _keep(store, [_memory("document", (), part, (name,), tenant, reason=source) for part in passages(text)])


def passages(text: str) -> list[str]:
    """Cut a text into passages at blank lines, then sentence ends, then anywhere; no passage is longer than PASSAGE.

    >>> passages("One.\\n\\nTwo.")
    ['One.\\n\\nTwo.']
    """
    found: list[str] = []
    open_ = ""
    for piece in _pieces(text):
        if open_ and len(open_) + len(piece) > PASSAGE:
            found.append(open_)
            open_ = ""
        open_ += piece
    return [one.strip() for one in (*found, open_) if one.strip()]


def _pieces(text: str) -> Iterable[str]:
    for paragraph in re.split(r"(?<=\n\n)", text):
        for sentence in re.split(r"(?<=[.!?] )", paragraph) if len(paragraph) > PASSAGE else [paragraph]:
            for start in range(0, len(sentence), PASSAGE):
                yield sentence[start : start + PASSAGE]


def _of_critique(critique: Critique, trace: Trace, tenant: str) -> list[Memory]:
    draft, evidence = critique.draft or "", (trace.id, critique.id)
    kept = []
    faults = "\n".join(f"{issue.severity}: {issue.text}" for issue in critique.issues)
    if critique.draft_score is not None:
        reason = faults or f"the verifier's score; the critique ended with: {critique.stop_reason}"
        score = critique.draft_score
        kept.append(_memory("score", trace.messages, draft, evidence, tenant, score=score, reason=reason))
    if faults:
        kept.append(
            _memory("critique", trace.messages, faults, evidence, tenant, rejected=draft, score=critique.draft_score)
        )
    is_better = _is_better(critique)
    if critique.revision is not None and is_better:
        kept.append(
            _memory(
                "contrast", trace.messages, critique.revision, evidence, tenant,
                rejected=draft, score=critique.revision_score, reason="the verifier scored it above the other",
            )
        )  # fmt: skip
    for reflection in critique.reflections:
        kept.append(_memory("reflection", trace.messages, reflection, evidence, tenant))
        if is_better:
            kept.append(
                _memory(
                    "lesson", trace.messages, reflection, evidence, tenant,
                    score=critique.revision_score, reason="the answer after it scored better than the one before",
                )
            )  # fmt: skip
    return kept


def _is_better(critique: Critique) -> bool:
    """Tell whether a verifier, not the model itself, scored the revision above the draft."""
    if critique.revision_score is None or critique.scored_by != "verifier":
        return False
    return critique.revision_score > (critique.draft_score or 0.0)


def _may_keep(messages: Sequence[Message], without: Collection[str]) -> bool:
    question = asked(messages)
    return question != ERASED and question not in without


def _memory(
    type: MemoryType,
    messages: Sequence[Message],
    reply: str,
    evidence: Sequence[str],
    tenant: str,
    *,
    rejected: str | None = None,
    score: float | None = None,
    reason: str | None = None,
) -> Memory:
    basis = tuple(sorted(set(evidence)))
    memory = Memory(
        id="mem_",
        type=type,
        messages=tuple(messages),
        reply=reply,
        evidence=basis,
        tenant=tenant,
        rejected=rejected,
        score=score,
        reason=reason,
    )
    words = ([one.model_dump() for one in messages], reply, rejected)
    # A cycle's own records have other names in the next cycle, which would keep the same words again.
    lasting = sorted({one[:4] if one.startswith(_PER_CYCLE) else one for one in basis})
    # Long enough that nobody finds two texts of one name: a tenant's memory is not to be shadowed on purpose.
    return memory.model_copy(update={"id": f"mem_{content_hash((type, tenant, words, lasting), 32)}"})


def _keep(store: Store, memories: Sequence[Memory]) -> list[Memory]:
    """Write those that are not there, in one transaction, and return them all as they are in the store."""
    fresh = {memory.id: memory for memory in reversed(memories)}  # of two with one name, the first counts
    there = {memory.id: memory for memory in store.find(Memory, ids=list(fresh))}
    store.append(*(memory for name, memory in reversed(fresh.items()) if name not in there))
    return [there.get(name, memory) for name, memory in reversed(fresh.items())]
