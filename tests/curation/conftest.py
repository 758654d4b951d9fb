"""A store, and people and programs who say things in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from sharpen.records import Case, Critique, Feedback, Message, Trace, content_hash, new_id
from sharpen.store import Store

SYSTEM = Message(role="system", content="Name the team that the message is for, in one word.")


@dataclass
class Talk:
    """Write what happens to a trace, one line each."""

    store: Store

    def trace(self, question: str, reply: str | None = "sales", **fields: Any) -> str:
        messages = (SYSTEM, Message(role="user", content=question))
        return self._write(Trace(id=new_id("trc"), messages=messages, reply=reply, version_id="ver_0", **fields))

    def correct(self, trace_id: str, correction: str, source: str | None = None) -> str:
        return self._write(Feedback(id=new_id("fbk"), trace_id=trace_id, correction=correction, source_id=source))

    def rate(self, trace_id: str, rating: float, source: str | None = None) -> str:
        return self._write(Feedback(id=new_id("fbk"), trace_id=trace_id, rating=rating, source_id=source))

    def prefer(self, better: str, worse: str, source: str | None = None) -> str:
        return self._write(Feedback(id=new_id("fbk"), trace_id=better, better_than=worse, source_id=source))

    def critique(self, trace_id: str, **fields: Any) -> str:
        made = Critique(
            id=new_id("crt"),
            trace_id=trace_id,
            **({"cycle_id": "c1", "method": "refine", "stop_reason": "verified", "draft": "sales"} | fields),
        )
        return self._write(made)

    def corrected(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        """Ask every question, and correct the reply to the answer in the same place."""
        for question, answer in zip(questions, answers, strict=True):
            self.correct(self.trace(question), answer)

    def _write(self, record: Any) -> str:
        self.store.append(record)
        return str(record.id)


@pytest.fixture
def talk(sqlite_store: Store) -> Talk:
    return Talk(sqlite_store)


@pytest.fixture
def case() -> Any:
    """Return a maker of held-out cases."""

    def make(question: str, tier: Any = "gate") -> Case:
        messages = (SYSTEM, Message(role="user", content=question))
        return Case(id=content_hash(question), messages=messages, reference="x", cluster=question, tier=tier)

    return make
