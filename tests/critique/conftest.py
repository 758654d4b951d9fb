"""Traces in a store, a suite that can tell right from wrong, and the pass that criticises them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.critique.flow import critique
from sharpen.models.engine import Engine
from sharpen.records import Critique, Feedback, Message, Trace
from sharpen.store import Store
from sharpen.testing import Script, ScriptedEngine
from sharpen.verify.cases import Tier, make_case
from sharpen.verify.suites import Suite

TEAMS = ("billing", "delivery", "sales")


def prompt(question: str) -> tuple[Message, ...]:
    return (Message(role="system", content="Name the team."), Message(role="user", content=question))


@dataclass
class Desk:
    """Questions with a known answer, and what the model said to them."""

    store: Store
    cases: list[Any] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    def ask(self, question: str, reply: str | None, right: str | None = None, tier: Tier = "train") -> str:
        """Record an exchange; with `right`, the suite knows the answer."""
        messages = prompt(question)
        if right is not None:
            self.cases.append(make_case(messages, right, choices=TEAMS, tier=tier))
        trace_id = f"trc_{len(self.traces):04d}"
        self.traces.append(trace_id)
        self.store.append(Trace(id=trace_id, messages=messages, reply=reply, version_id="v"))
        return trace_id

    def correct(self, trace_id: str, correction: str) -> None:
        number = self.store.count(Feedback)
        self.store.append(Feedback(id=f"fbk_{number:04d}", trace_id=trace_id, correction=correction))

    @property
    def suite(self) -> Suite:
        return Suite("desk", tuple(self.cases))

    def look(self, script: Script | Engine, cycle_id: str = "c1", **settings: Any) -> list[Critique]:
        engine: Any = script
        if not hasattr(script, "generate"):
            engine = ScriptedEngine(script)  # type: ignore[arg-type]
            engine.load("v", None)
        return critique(config(**settings), self.store, engine, self.suite, cycle_id=cycle_id, version_id="v")


def config(**settings: Any) -> Config:
    return parse({"pace": "demo", "critique": settings})


@pytest.fixture
def desk(sqlite_store: Store) -> Desk:
    return Desk(sqlite_store)


@pytest.fixture
def settings() -> Callable[..., Config]:
    return config
