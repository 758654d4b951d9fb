"""What is kept of critiques, feedback, promotions and documents."""

from __future__ import annotations

import pytest

from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.errors import Refused
from sharpen.memory.keep import (
    PASSAGE,
    about,
    is_good,
    keep_critiques,
    keep_document,
    keep_feedback,
    keep_promoted,
    passages,
    remember,
)
from sharpen.models.engine import Generation
from sharpen.records import Critique, Example, Feedback, Issue, Memory, Message, Snapshot, Step, Trace, Verdict
from sharpen.store import Store


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def traced(store: Store, text: str = "Where is my parcel?", reply: str = "billing") -> Trace:
    return record_trace(store, messages=ask(text), generation=Generation(reply, 5, 1, "stop"), version_id="ver_1")


def critique(trace: Trace, cycle: str = "cycle-1", **changes: object) -> Critique:
    fields = {
        "id": f"crt_{cycle}_{trace.id}"[:60],
        "trace_id": trace.id,
        "cycle_id": cycle,
        "method": "reflexion",
        "draft": trace.reply,
        "draft_score": 0.0,
        "revision": "shipping",
        "revision_score": 1.0,
        "stop_reason": "verified",
        "steps": (
            Step(name="judge", output="bad", issues=(Issue(text="The team is wrong.", severity="high"),)),
            Step(name="reflect", output="Read what was bought before naming a team."),
        ),
    }
    return Critique.model_validate(fields | changes)


def by_type(memories: list[Memory]) -> dict[str, Memory]:
    return {memory.type: memory for memory in memories}


def test_a_critique_leaves_the_good_answer_beside_the_bad_and_what_was_learned(sqlite_store: Store) -> None:
    trace = traced(sqlite_store)
    kept = by_type(keep_critiques(sqlite_store, [critique(trace)]))
    assert set(kept) == {"score", "critique", "contrast", "reflection", "lesson"}
    assert (kept["contrast"].reply, kept["contrast"].rejected, kept["contrast"].score) == ("shipping", "billing", 1.0)
    assert (kept["score"].reply, kept["score"].score, kept["score"].reason) == (
        "billing", 0.0, "high: The team is wrong.",
    )  # fmt: skip
    assert kept["lesson"].reply == "Read what was bought before naming a team."
    assert all(about(memory) == trace.id and len(memory.evidence) == 2 for memory in kept.values())
    assert not is_good(kept["score"])
    assert is_good(kept["contrast"])


@pytest.mark.parametrize(
    "changes",
    [
        {"revision_score": 0.0},
        {"draft_score": 1.0},
        {"revision_score": None},
        {"scored_by": "self"},
    ],
)
def test_a_reflection_is_no_lesson_unless_the_verifier_scored_the_revision_better(
    sqlite_store: Store, changes: dict[str, object]
) -> None:
    kept = by_type(keep_critiques(sqlite_store, [critique(traced(sqlite_store), **changes)]))
    assert "lesson" not in kept
    assert "contrast" not in kept
    assert "reflection" in kept


def test_a_failed_critique_leaves_nothing(sqlite_store: Store) -> None:
    assert keep_critiques(sqlite_store, [critique(traced(sqlite_store), error="out of memory")]) == []


def test_the_next_cycle_over_the_same_exchange_adds_nothing(sqlite_store: Store) -> None:
    trace = traced(sqlite_store)
    first = keep_critiques(sqlite_store, [critique(trace)])
    digest = sqlite_store.digest([Memory])
    again = keep_critiques(sqlite_store, [critique(trace, cycle="cycle-2")])
    assert [memory.id for memory in again] == [memory.id for memory in first]
    assert sqlite_store.digest([Memory]) == digest


def test_people_s_words_are_kept_as_contrasts_and_scores(sqlite_store: Store) -> None:
    trace = traced(sqlite_store)
    record_feedback(sqlite_store, trace_id=trace.id, rating=-1, correction="shipping", key="one")
    kept = by_type(keep_feedback(sqlite_store, sqlite_store.find(Feedback)))
    assert (kept["contrast"].reply, kept["contrast"].rejected) == ("shipping", "billing")
    assert (kept["score"].reply, kept["score"].score, kept["score"].reason) == ("billing", 0.0, "a person rated it")
    keep_feedback(sqlite_store, sqlite_store.find(Feedback))
    assert sqlite_store.count(Memory) == 2


def test_questions_that_measure_are_never_kept(sqlite_store: Store) -> None:
    trace = traced(sqlite_store)
    record_feedback(sqlite_store, trace_id=trace.id, rating=1, correction="shipping", key="one")
    held_out = {"Where is my parcel?"}
    assert keep_critiques(sqlite_store, [critique(trace)], without=held_out) == []
    assert keep_feedback(sqlite_store, sqlite_store.find(Feedback), without=held_out) == []


def test_a_promotion_keeps_what_was_learned_and_a_hold_keeps_nothing(sqlite_store: Store) -> None:
    example = Example(
        id="exa_1", cycle_id="c", messages=ask("Where?"), chosen="shipping", origin="correction", evidence=("trc_1",)
    )
    snapshot = Snapshot(id="snp_1", cycle_id="c", example_ids=("exa_1",), counts={}, dropped={})
    sqlite_store.append(example, snapshot)

    def verdict(decision: str) -> Verdict:
        fields = {"id": "vdt_1", "cycle_id": "c", "champion_id": "a", "challenger_id": "b", "reason": "r"}
        return Verdict.model_validate(
            fields | {"decision": decision, "comparisons": (), "alpha_spent": 0.01, "attempt": 1}
        )

    assert keep_promoted(sqlite_store, snapshot, verdict("hold")) == []
    negative_control = snapshot.model_copy(update={"shuffled_labels": True})
    assert keep_promoted(sqlite_store, negative_control, verdict("promote")) == []
    [kept] = keep_promoted(sqlite_store, snapshot, verdict("promote"))
    assert (kept.type, kept.reply, kept.evidence) == ("example", "shipping", ("exa_1", "trc_1", "vdt_1"))


def test_what_was_erased_stays_erased(sqlite_store: Store) -> None:
    memory = remember(sqlite_store, ask("Where?"), "shipping", ["trc_1"])
    sqlite_store.erase(memory.id)
    assert remember(sqlite_store, ask("Where?"), "shipping", ["trc_1"]).reply == "[erased]"


def test_the_same_words_of_two_tenants_are_two_memories(sqlite_store: Store) -> None:
    ours = remember(sqlite_store, ask("Where?"), "shipping", ["trc_1"], tenant="us")
    theirs = remember(sqlite_store, ask("Where?"), "shipping", ["trc_1"], tenant="them")
    assert ours.id != theirs.id


def test_a_record_of_an_older_version_can_be_read() -> None:
    old = {
        "id": "mem_1",
        "at": "2026-01-01T00:00:00Z",
        "type": "example",
        "messages": [],
        "reply": "r",
        "evidence": ["t"],
    }
    memory = Memory.model_validate(old)
    assert (memory.tenant, memory.rejected, memory.score, memory.reason) == ("default", None, None, None)


def test_documents_become_passages_that_hold_every_word(sqlite_store: Store) -> None:
    text = "\n\n".join(f"Paragraph {i} says something. It says it twice." * (i % 5 + 1) for i in range(60))
    text += "".join(map(str, range(1000)))
    kept = keep_document(sqlite_store, text, "handbook.txt")
    assert all(0 < len(memory.reply) <= PASSAGE for memory in kept)
    assert "".join("".join(memory.reply.split()) for memory in kept) == "".join(text.split())
    assert {memory.reason for memory in kept} == {"handbook.txt"}
    assert len({memory.evidence for memory in kept}) == 1


def test_documents_without_words_or_without_end_are_refused(sqlite_store: Store) -> None:
    with pytest.raises(Refused, match="no words"):
        keep_document(sqlite_store, " \n ", "empty.txt")
    with pytest.raises(Refused, match="4000001 characters"):
        keep_document(sqlite_store, "x" * 4_000_001, "endless.txt")


def test_passages_break_at_sentences_before_they_break_words() -> None:
    parts = passages("A sentence of words. " * 200)
    assert all(part.endswith("words.") for part in parts)
