"""An example that the filters have not looked at yet, as plain values.

In: finds of mining. Out: rows that can go through a file, a cluster and a filter. Must not know any filter or engine.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import NamedTuple

from sharpen.records import Origin

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # made once: json.dumps makes one for each call


class Candidate(NamedTuple):
    """One find with its prompt. `place` orders candidates by the trace they rest on, whatever the shard."""

    place: int
    prompt: str  # messages as JSON: [[role, content], ...]
    chosen: str | None
    rejected: str | None
    origin: Origin
    evidence: tuple[str, ...]
    margin: float | None = None
    reference: str | None = None
    weight: float = 1.0
    source: str | None = None  # who said it; None: nobody, or nobody who gave a name
    version: str = ""  # the version that answered
    pass_rate: float | None = None  # share of verified answers to the prompt that were right, 0-1

    @property
    def answers(self) -> str:
        """Both answers, one a line."""
        return "\n".join(text for text in (self.chosen, self.rejected) if text is not None)


@lru_cache(maxsize=4096)
def turns(prompt: str) -> tuple[tuple[str, str], ...]:
    """Return a prompt's turns: who speaks, and what."""
    return tuple(map(tuple, json.loads(prompt)))


def asked(prompt: str) -> str:
    """Return the last user turn, or the last turn where no user spoke.

    >>> asked('[["system","Be short."],["user","Hi"]]')
    'Hi'
    """
    said = turns(prompt)
    return next((content for role, content in reversed(said) if role == "user"), said[-1][1] if said else "")


def context(prompt: str) -> str:
    """Return what was said before the last user turn, without the system prompt: "yes" means what was asked before."""
    said = turns(prompt)
    last = max((i for i, (role, _) in enumerate(said) if role == "user"), default=len(said) - 1)
    return json.dumps([turn for turn in said[:last] if turn[0] != "system"], ensure_ascii=False) if last > 0 else "[]"


def conversation(prompt: str) -> str:
    """Return everything that was said without the system prompt, which all prompts share."""
    return "\n".join(content for role, content in turns(prompt) if role != "system")


def learned(one: Candidate) -> str:
    """Return what is learned from a candidate, as canonical JSON: this sets its place in training."""
    said = [{"content": content, "role": role} for role, content in turns(one.prompt)]
    told = {"chosen": one.chosen, "messages": said, "rejected": one.rejected, "weight": one.weight}
    return _CANONICAL.encode(told)


def place_in_training(one: Candidate, seed: int) -> str:
    """Return the key that training is ordered by: drawn by the seed from the content alone, 64 hexadecimal digits."""
    return hashlib.sha256(f"[{seed},{learned(one)}]".encode()).hexdigest()


def level(one: Candidate, order: str) -> float:
    """Return what comes before the drawn order: nothing, or how hard a prompt is, unknown ones in the middle."""
    rate = 0.5 if one.pass_rate is None else one.pass_rate
    return {"easy_first": -rate, "hard_first": rate}.get(order, 0.0)


def content_digest(one: Candidate) -> str:
    """Return the SHA-256 of everything that a trainer gets of a candidate."""
    return hashlib.sha256(f"[{json.dumps(one.reference)},{learned(one)}]".encode()).hexdigest()
