"""Sums that a scripted model gets wrong, and the parts it plays while it finds out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sharpen.config import parse
from sharpen.critique import cot, method, reflexion, tree_of_thought
from sharpen.critique.constitution import load_constitution
from sharpen.critique.item import Item
from sharpen.critique.method import Method, Scene
from sharpen.critique.methods import find
from sharpen.critique.tools import calculator
from sharpen.critique.viewpoints import load_perspectives
from sharpen.memory.recall import Recall
from sharpen.models.engine import Engine, Generation, Request
from sharpen.records import Case, Message
from sharpen.testing import Script, ScriptedEngine
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

WRONG, RIGHT = "5", "4"
PRINCIPLES = load_constitution().principle[:2]


def sum_case(question: str = "What is 2 + 2?") -> Case:
    return make_case([Message(role="user", content=question)], RIGHT, tier="train")


def sum_item(name: str = "trc_1", draft: str | None = WRONG, *, case: Case | None = None, **fields: Any) -> Item:
    """An answered question; without a case nobody can verify it."""
    messages = fields.pop("messages", case.messages if case else (Message(role="user", content="What is 2 + 2?"),))
    return Item(name, messages, draft, case=case, **fields)


SUMS = Suite("sums", (sum_case(),), scorer="numeric")


def expert(request: Request, version: str) -> str:
    """Play every part of every method, well: it finds out that 4 is right, whatever the answer was."""
    asked = request.messages[-1].content
    answer = asked.partition("Proposed answer:\n")[2].partition("\n\n")[0]
    if "right answer is" in asked or any(message.role == "assistant" for message in request.messages):
        return RIGHT
    if cot.THINK in asked:
        return "Two and two make four.\nAnswer: 4."
    if "You may use a tool" in asked or "Use no more tools" in asked:
        return "That is known.\nAnswer: 4" if "Observation" in asked else "I add.\nAction: calculator[2 + 2]"
    if tree_of_thought.ANSWER in asked:
        return "Answer: 4"
    if tree_of_thought.THINK in asked:
        return f"Add two and two, way {request.seed % 1000}."
    if tree_of_thought.VOTE in asked:
        return "1"
    if method.JUDGE in asked or tree_of_thought.VALUE in asked:
        return "No" if answer == f"> {WRONG}" else "Yes"
    if reflexion.REFLECT in asked:
        return "The sum was wrong; count again."
    if "Reply with Yes or No, then" in asked:
        return f'Yes, "{WRONG}" is too much. Severity: high' if answer == f"> {WRONG}" else "No, it is fine."
    if "List the f" in asked:  # the critics of self_refine and of the team
        return f'- high: "{WRONG}" is not the sum' if answer == f"> {WRONG}" else "No issues."
    if "the whole improved answer" in asked or reflexion.RETRY in asked:
        return f"Revised answer: {RIGHT}"
    return WRONG


def stubborn(request: Request, version: str) -> str:
    """Never be content, never agree with itself, and never stop talking."""
    asked, number = request.messages[-1].content, request.seed % 1_000_003
    long = " ".join(f"word{number + place}" for place in range(120))
    if cot.THINK in asked or tree_of_thought.ANSWER in asked:
        return f"{long}\nAnswer: {number}"
    if "You may use a tool" in asked:
        return f"Action: calculator[{number} + 1]"
    if method.JUDGE in asked:
        return "No"
    if "Reply with Yes or No, then" in asked:
        return f"Yes, it is bad. {long}"
    return f"- it is bad {long}" if "List the f" in asked else long


class Counting(ScriptedEngine):
    """Keeps every request, and how many came together."""

    def __init__(self, script: Script = expert, **options: Any) -> None:
        self.asked, self.batches = list[Request](), list[int]()
        super().__init__(script, **options)
        self.load("v", None)

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        self.asked += requests
        self.batches.append(len(requests))
        return super().generate(requests, version_id)


def opened(name: str, engine: Engine, *, recall: Recall | None = None, **settings: Any) -> Method:
    """Return a method on the sums, with two principles and a calculator."""
    chosen = parse({"pace": "demo", "critique": {"method": name, "rounds": 2, "samples": 2, **settings}})
    known = recall or Recall([((Message(role="user", content="What is 1 + 3?"),), RIGHT)])
    scene = Scene.of(
        chosen,
        engine,
        "v",
        suite=SUMS,
        recall=known,
        tools={"calculator": calculator},
        constitution=tuple(PRINCIPLES),
        perspectives=tuple(load_perspectives().perspective[:2]),
    )
    return find(name)(scene)


def needed(name: str) -> dict[str, Any]:
    """Return what an item must bring for this method: a case, where it searches with the verifier."""
    return {"case": SUMS.cases[0]} if find(name).needs_verifier else {}
