"""Statements that a model or a plug-in proposes about a text, read with suspicion.

In: a text, the id of the record it is from, and what was proposed, as JSON. Out: facts that the text says in so many
words, and a count of what was dropped and why. Must not know where facts are kept.

A proposal is data from outside. It cannot name a relation that is not in the vocabulary, cite a record other than the
one that was read, or state what the text does not: the quote has to stand in the text, and both names in the quote.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sharpen.memory.compose import RULE, harmless
from sharpen.models.engine import Engine, Request
from sharpen.records import Message

Relation = Literal["is_a", "part_of", "causes", "states"]
Propose = Callable[[str, str], str]  # a text, the id of its record -> JSON

MAX_FACTS = 64  # chosen: more from one passage is a list, not a text
_MAX_SAID_CHARS = 200_000  # chosen: MAX_FACTS facts of the longest form, three times over
_MAX_NEW_TOKENS = 512
_ASK = (
    "State what the data says as JSON: a list of objects with the keys subject, relation, object, quote, evidence. "
    "relation is one of is_a, part_of, causes, states. quote is the words of the data, copied, and holds subject and "
    "object. evidence is "
)


class Fact(BaseModel):
    """One statement: subject, relation, object, and the words that say it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subject: str = Field(min_length=1, max_length=200, description="the name of a thing, as the quote has it")
    relation: Relation = Field(description="is_a, part_of, causes; states is any other, and the quote says which")
    object: str = Field(min_length=1, max_length=200, description="the name of another thing, as the quote has it")
    quote: str = Field(min_length=1, max_length=1000, description="the words of the text that say it")
    evidence: str = Field(min_length=1, max_length=64, description="id of the record the text is from")


@dataclass
class Reading:
    """What was found in a text, and how many proposals were dropped, by reason."""

    facts: list[Fact] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def read(propose: Propose, text: str, evidence: str) -> Reading:
    """Ask for facts about a text and keep the valid ones. A proposer that fails is counted, not raised."""
    try:
        said = propose(text, evidence)
    except Exception as error:  # a plug-in may raise anything; one failed text is data
        return Reading(dropped=Counter({f"the proposer failed: {type(error).__name__}": 1}))
    return valid(said, text, evidence)


def valid(said: object, text: str, evidence: str) -> Reading:
    """Return the facts in what was proposed that are well formed and stand in the text."""
    reading = Reading()
    proposals = _parsed(said)
    if proposals is None:
        reading.dropped["not a list in JSON"] += 1
        return reading
    reading.dropped["too many"] += max(0, len(proposals) - MAX_FACTS)
    flat = named(text)
    for proposal in proposals[:MAX_FACTS]:
        try:
            fact = Fact.model_validate(proposal)
        except (ValidationError, RecursionError):
            reading.dropped["not of the schema"] += 1
            continue
        fault = _fault(fact, flat, evidence)
        if fault:
            reading.dropped[fault] += 1
        elif fact not in reading.facts:
            reading.facts.append(fact)
    reading.dropped = +reading.dropped  # leaves out reasons that never happened
    return reading


def _fault(fact: Fact, flat: str, evidence: str) -> str:
    quote, subject, object_ = named(fact.quote), named(fact.subject), named(fact.object)
    if fact.evidence != evidence:
        return "other evidence than was read"
    if not quote or quote not in flat:
        return "the quote is not in the text"
    if not subject or not object_ or not _stands(subject, quote) or not _stands(object_, quote):
        return "a name is not in the quote"
    return "a thing and itself" if subject == object_ else ""


def named(text: str) -> str:
    """Return a name as it is compared: one form of each character, one kind of blank, no case.

    >>> named("  Lake\\u00a0 TANA ")
    'lake tana'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _stands(name: str, text: str) -> bool:
    """Tell whether a name stands in a text as whole words."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _parsed(said: object) -> list[Any] | None:
    """Find the first list in what was said; models like to talk before and after it."""
    if not isinstance(said, str) or len(said) > _MAX_SAID_CHARS or (start := said.find("[")) < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(said[start:])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def model_proposer(engine: Engine, version_id: str) -> Propose:
    """Return a proposer that asks a model; the text stands before it as data."""

    def propose(text: str, evidence: str) -> str:
        prompt: Sequence[Message] = (
            Message(role="system", content=RULE),
            Message(role="user", content=f"Data:\n{harmless(text)}\n\n{_ASK}{json.dumps(evidence)}."),
        )
        (answer,) = engine.generate([Request(prompt, max_new_tokens=_MAX_NEW_TOKENS)], version_id)
        return answer.text

    return propose
