"""Gold: replies that people have called good or bad, to measure a judge on.

In: a JSONL file. Out: `Gold`, and the items that a judge is asked about. Must not know judges' answers.

A row is {"prompt": str, "reply": str, "good": bool} and, optionally, "reference", "group" (of the person who asked) and
"author" (the name of the model that wrote the reply). Two rows with the same prompt make a pair.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError

from sharpen.errors import ConfigError
from sharpen.records import Value, content_hash
from sharpen.verify.judge import Question

ROW = '{"prompt": "…", "reply": "…", "good": true}'


class Gold(Value):
    """A reply whose worth is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    prompt: str = Field(min_length=1, description="what was asked")
    reply: str = Field(min_length=1, description="what was answered")
    good: bool = Field(description="what people made of it")
    reference: str | None = Field(default=None, description="a right answer")
    group: str | None = Field(default=None, description="the group of who asked, declared with consent")
    author: str | None = Field(default=None, description="the model that wrote the reply, named as judges are")


class Item(Value):
    """One thing to ask a judge: a reply, alone or against another one, and whether it should win."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    question: Question
    reply: str
    other: str | None = None
    good: bool
    other_good: bool | None = None
    group: str | None = None


def read_gold(path: Path) -> list[Gold]:
    """Read a gold file. Raises: ConfigError naming the line and the fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The gold file {path} cannot be read: {error}", f"one row a line: {ROW}") from error
    rows: dict[str, Gold] = {}
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = Gold.model_validate(json.loads(raw))
        except (ValueError, RecursionError) as error:
            fault = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            place = "".join(f"'{part}': " for part in fault["loc"])
            raise ConfigError(f"{path}:{line}: {place}{fault['msg']}", f"a row is {ROW}") from error
        first = rows.setdefault(content_hash([row.prompt, row.reply]), row)
        if first.good != row.good:
            raise ConfigError(f"{path}:{line}: the same reply again, with another 'good'.", "keep one")
    if len({row.good for row in rows.values()}) < 2:
        raise ConfigError(f"The gold file {path} needs good and bad replies.", f"a row is {ROW}")
    return list(rows.values())


def single_items(gold: Sequence[Gold]) -> list[Item]:
    """Return each reply alone."""
    return [
        Item(question=Question(row.prompt, row.reference), reply=row.reply, good=row.good, group=row.group)
        for row in gold
    ]


def paired_items(gold: Sequence[Gold]) -> list[Item]:
    """Return each good reply against a bad one to the same prompt; which comes first is up to their hash."""
    return [item for item in all_pairs(gold) if item.good != item.other_good]


def all_pairs(gold: Sequence[Gold]) -> list[Item]:
    """Return each pair of replies to one prompt, equal ones too; which comes first is up to their hash."""
    return [
        Item(
            question=Question(one.prompt, one.reference),
            reply=one.reply,
            other=two.reply,
            good=one.good,
            other_good=two.good,
            group=one.group,
        )
        for one, two in _pairs(gold)
    ]


def equal_pairs(gold: Sequence[Gold], author: str) -> list[Item]:
    """Return pairs that people found equal, one of them written by `author`: its reply first."""
    items = []
    for one, two in _pairs(gold):
        if one.good == two.good and (one.author == author) != (two.author == author) and one.author and two.author:
            own, foreign = (one, two) if one.author == author else (two, one)
            question = Question(one.prompt, one.reference)
            items.append(Item(question=question, reply=own.reply, other=foreign.reply, good=own.good))
    return items


def _pairs(gold: Sequence[Gold]) -> list[tuple[Gold, Gold]]:
    """Return neighbours among the replies to one prompt, in the order of their hashes: no reply is in two pairs."""
    by_prompt: defaultdict[str, list[Gold]] = defaultdict(list)
    for row in gold:
        by_prompt[row.prompt].append(row)
    pairs: list[tuple[Gold, Gold]] = []
    for rows in by_prompt.values():
        ordered = sorted(rows, key=lambda row: content_hash([row.prompt, row.reply]))
        pairs += zip(ordered[::2], ordered[1::2], strict=False)
    return pairs
