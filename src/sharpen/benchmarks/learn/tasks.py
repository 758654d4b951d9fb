"""What the methods are compared on: two tasks, each with what their base got wrong, as every arm is given it.

In: the weights, a folder. Out: a task: train rows, prompts with a verifier, held-out cases. Must not know any method.

People are played by the references: every answer of the train tier is rated, and every wrong one is corrected. So one
set of rows serves all: targets for SFT, pairs for DPO and RPO, ratings for KTO, prompts for what learns on policy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sharpen.durable import write_text
from sharpen.models.engine import Engine, Request
from sharpen.records import Case, Message, content_hash
from sharpen.training.prompts import prompts
from sharpen.verify.cases import Tier, make_case
from sharpen.verify.suites import Suite, load_suite

GYM = "reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=2"
GYM_SIZE = 800  # chosen: two terms of one or two digits; some 240 distinct cases to train on
TEAMS = ("billing", "delivery", "returns", "account", "technical", "sales")
SYSTEM = f"Route the customer's message to one team: {', '.join(TEAMS[:-1])} or {TEAMS[-1]}."
NAMES = ("inbox", "gym")
VERSION = "base"


@dataclass(frozen=True)
class Task:
    """One task, and what its base answered."""

    name: str
    suite: Suite
    rows: tuple[dict[str, Any], ...]
    max_new_tokens: int

    @property
    def prompts(self) -> list[dict[str, Any]]:
        """The train tier, as a verifier can grade it."""
        return prompts(self.suite)

    @property
    def digest(self) -> str:
        """What it asks and what is learned from, as 16 digits."""
        return content_hash([self.suite.digest, self.rows, self.max_new_tokens])

    def held_out(self, tier: Tier, most: int) -> list[Case]:
        """Return at most that many cases of a tier, always the same ones."""
        return sorted(self.suite.tier(tier), key=lambda case: case.id)[:most]


def inbox() -> Suite:
    """Return the demo's messages, answered by the exact name of a team."""
    text = (files("sharpen.demo") / "inbox.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line]
    system = Message(role="system", content=SYSTEM)
    return Suite(
        "inbox",
        tuple(
            make_case([system, Message(role="user", content=row["message"])], row["team"], choices=TEAMS)
            for row in rows
        ),
    )


def gym() -> Suite:
    """Return short sums, answered by the last number of the reply: a base that knows it may say it in its own words."""
    drawn = load_suite(GYM, size=GYM_SIZE)
    return Suite("gym", drawn.cases, scorer="numeric")


# Tokens of an answer. chosen: a team's name is at most three; half of the base's sums end within 24.
SUITES = {"inbox": (inbox, 6), "gym": (gym, 24)}


def open_task(name: str, engine: Engine, folder: Path) -> Task:
    """Return a task; what the base answered is kept in the folder. The engine must have loaded VERSION."""
    suite, limit = SUITES[name][0](), SUITES[name][1]
    cases = suite.tier("train")
    path = folder / f"{name}-train-{content_hash([engine.base_digest, suite.digest, limit])}.json"
    if path.is_file():
        replies: list[str] = json.loads(path.read_text(encoding="utf-8"))
    else:
        made = engine.generate([Request(case.messages, limit) for case in cases], VERSION)
        replies = [reply.text.strip() for reply in made]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(replies))
    return Task(name, suite, tuple(rows_of(suite, cases, replies)), limit)


def rows_of(suite: Suite, cases: Sequence[Case], replies: Sequence[str]) -> list[dict[str, Any]]:
    """Return what was said of each answer: a right one was liked, a wrong one corrected."""
    rows = []
    for case, reply in zip(cases, replies, strict=True):
        is_right = (suite.score(case, reply)[0] or 0.0) >= 1.0
        rows.append(
            {
                "messages": [message.model_dump() for message in case.messages],
                "chosen": reply if is_right else case.reference,
                "rejected": None if is_right or not reply else reply,
                "weight": 1.0,
                "reference": case.reference,
            }
        )
    return rows
