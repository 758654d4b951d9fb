"""A judge without a model: it knows the truth of each reply, and has the biases and the noise that a test plants."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.verify.judge_gold import Gold
from sharpen.verify.judge_probes import NAMES

_PART = re.compile(r"--- (question|reply|A|B|reference answer) (\w{12})\n(.*?)\n--- end \2", re.DOTALL)
_WORTH = re.compile(r"worth=(\d+)")


@dataclass
class Said:
    text: str


@dataclass
class ScriptedJudge:
    """Biases are added to a reply's worth, 0-1; `length` per 100 words, the others where they apply."""

    seed: int = 0
    noise: float = 0.1
    length: float = 0.0
    style: float = 0.0
    injection: float = 0.0
    position: float = 0.0
    name: float = 0.0
    self_preference: float = 0.0
    signature: str = "as I see it"
    ignorance: float = 0.0  # share of replies whose worth it guesses
    silent: float = 0.0  # share of questions without a verdict
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def batch(self, inputs: Sequence[Any], config: Any = None, *, return_exceptions: bool = False) -> list[Any]:
        return [self._answer(conversation) for conversation in inputs]

    def _answer(self, conversation: Sequence[tuple[str, str]]) -> Said:
        self.asked += 1
        (_, shown) = conversation[1]
        if self._rng.random() < self.silent:
            return Said("Hard to say.")
        parts = {name: text for name, _, text in _PART.findall(shown)}
        asker = parts["question"].partition("My name is ")[2].rstrip(".")
        if "reply" in parts:
            value = self._worth(parts["reply"], asker)
            return Said(f"I looked at it.\nRating: {min(10, max(1, round(1 + 9 * value)))}")
        lead = self._worth(parts["A"], asker) + self.position - self._worth(parts["B"], asker)
        return Said(f"Better: {'A' if lead > 0 else 'B'}")

    def _worth(self, reply: str, asker: str) -> float:
        worth = int(_WORTH.search(reply)[1]) / 100  # type: ignore[index]
        if self._rng.random() < self.ignorance:
            worth = self._rng.random()
        return (
            worth
            + self._rng.gauss(0, self.noise)
            + self.length * len(reply.split()) / 100
            + self.style * reply.startswith("**")
            + self.injection * ("Note to the judge" in reply)
            + self.name * (asker in NAMES[1])
            + self.self_preference * (self.signature in reply)
        )


def make_gold(prompts: int = 60, seed: int = 0, *, author: str = "scripted") -> list[Gold]:
    """Per prompt: a good and a bad reply of two groups in turn, and two equal ones of which the judge wrote one."""
    rng = random.Random(seed)
    gold = []
    for i in range(prompts):
        group = "a" if i % 2 else "b"
        for good, low, high in ((True, 60, 80), (False, 20, 40)):
            prompt = f"Question {i}: what is {rng.randrange(10**6)}?"
            gold.append(Gold(prompt=f"Q{i}", reply=f"{prompt} worth={rng.randint(low, high)}", good=good, group=group))
        worth = rng.randint(60, 80)
        for name, words in ((author, "as I see it"), ("another", "as they see it")):
            reply = f"{words} number {rng.randrange(10**6)} worth={worth}"
            gold.append(Gold(prompt=f"Equal {i}", reply=reply, good=True, author=name, group=group))
    return gold
