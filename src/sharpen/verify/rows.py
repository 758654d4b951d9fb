"""Rows of a suite become cases, and a bad row becomes a sentence that names it.

In: (place, row) pairs. Out: cases, and the scorer of each that names one. Must not know formats, models or who asks.

A row asks with one of `prompt` (a text), `messages` (turns that end with the user's) or `turns` (what the user says,
each answered before the next). It has a `reference` and, optionally, `system`, `choices`, `contexts`, `cluster`,
`tier`, `kind`, `scorer`, `groups` ({"axis": "group"}) and `tags`. In a CSV file the same names head the columns; lists
are separated by "|", and groups are written axis=group.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from sharpen.errors import ConfigError
from sharpen.records import Case, Message
from sharpen.verify.cases import CHOICE_KINDS, KINDS, TASK, TIERS, Shares, make_case
from sharpen.verify.scorers import BUILT_IN, find_scorer, grade
from sharpen.verify.specs import Spec, nearest
from sharpen.verify.tables import ROW

LISTS = ("choices", "contexts", "turns", "groups", "tags")
KEYS = ("prompt", "messages", "system", "reference", "cluster", "tier", "kind", "scorer", *LISTS)


def to_cases(
    rows: Iterable[tuple[str, dict[str, Any]]], spec: Spec, *, cells: bool = False
) -> tuple[tuple[Case, ...], dict[str, str]]:
    """Return the cases of a table, and the scorer per case id where the row names one.

    `spec.settings` may name the table's columns (`prompt=question`); the columns that it does not name are then left
    out. `cells` says that lists are texts, as in CSV. A row that is there twice counts once.
    Raises: ConfigError naming place and fault.
    """
    columns = spec.only(KEYS)
    cases: dict[str, Case] = {}
    scorers: dict[str, str] = {}
    places: dict[str, str] = {}
    tiers: dict[str, tuple[str, str]] = {}
    for where, raw in rows:
        row = _named(where, raw, columns)
        case, scorer = _case(where, _split(row) if cells else row, spec)
        first = cases.setdefault(case.id, case)
        if first != case or (case.id in places and scorers.get(case.id) != scorer):
            fault = "reference" if first.reference != case.reference else "choices, cluster, tier, scorer or tags"
            before = places[case.id].rpartition(":")[2]
            raise ConfigError(f"{where}: the prompt of line {before} again, with another {fault}.", "keep one")
        tier, line = tiers.setdefault(case.cluster, (case.tier, where.rpartition(":")[2]))
        if tier != case.tier:
            raise ConfigError(
                f"{where}: cluster '{case.cluster}' is in tier '{tier}' on line {line}, and in '{case.tier}' here.",
                "a cluster is in one tier, or training would see what the gate asks",
            )
        places.setdefault(case.id, where)
        if scorer is not None:
            scorers[case.id] = scorer
    if not cases:
        raise ConfigError(f"The suite {spec.source} is empty.", f"one row a line: {ROW}")
    return tuple(cases.values()), scorers


def to_row(case: Case, scorer: str) -> dict[str, Any]:
    """Return a case as a row that gives the same case again, but for its id where the prompt was changed."""
    turns = [turn.model_dump() for turn in case.messages]
    row: dict[str, Any] = {"messages": turns}
    if case.kind == "dialogue":
        row = {"turns": [turn["content"] for turn in turns if turn["role"] == "user"]}
        row |= {turn["role"]: turn["content"] for turn in turns if turn["role"] == "system"}
    row |= {"reference": case.reference, "cluster": case.cluster, "tier": case.tier, "kind": case.kind}
    row |= {"choices": list(case.choices)} if case.choices else {}
    row |= {"groups": dict(group.split("=", 1) for group in case.groups)} if case.groups else {}
    row |= {"tags": list(case.tags)} if case.tags else {}
    return row if case.kind in CHOICE_KINDS else row | {"scorer": scorer}


def _named(where: str, row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the row under our names. Raises: ConfigError for a key that we do not know."""
    if columns:
        return {key: row[column] for key, column in columns.items() if column in row}
    for key in row:
        if key not in KEYS:
            hint = f"{nearest(str(key), KEYS)}; a table with its own names: ?prompt=COLUMN&reference=COLUMN"
            raise ConfigError(f"{where}: no key '{key}'.", hint)
    return row


def _split(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of texts with its lists cut at "|"."""
    lists: dict[str, Any] = {key: [cell.strip() for cell in row[key].split("|")] for key in LISTS if key in row}
    if "groups" in lists:
        pairs = [group.partition("=") for group in lists["groups"]]
        lists["groups"] = {axis.strip(): group.strip() for axis, _, group in pairs}
    return row | lists


def _case(where: str, row: dict[str, Any], spec: Spec) -> tuple[Case, str | None]:
    """Check one row. Raises: ConfigError."""
    reference = _word(where, row, "reference")
    if reference is None:
        raise ConfigError(f"{where}: 'reference' is missing.", "give the right answer, as text")
    choices = _texts(where, row, "choices", '"choices": ["yes", "no"]')
    if len(set(choices)) != len(choices):
        raise ConfigError(f"{where}: 'choices' names one answer twice.", "name each once")
    if choices and reference not in choices:
        raise ConfigError(f"{where}: the reference '{reference}' is not among the choices.", ", ".join(choices))
    tier, scorer = _word(where, row, "tier"), _word(where, row, "scorer") or spec.scorer
    if tier is not None and tier not in TIERS:
        raise ConfigError(f"{where}: no tier '{tier}'.", f"one of {', '.join(TIERS)}")
    kind = _kind(where, row, scorer, choices, spec)
    if kind in CHOICE_KINDS:
        scorer = None
    else:
        _check_scorer(where, scorer or "exact", reference, choices)
    shares: Shares = spec.shares or TASK
    case = make_case(
        _messages(where, row),
        reference,
        kind=kind,
        choices=choices,
        contexts=_texts(where, row, "contexts", '"contexts": ["a passage", "another"]'),
        groups=_groups(where, row),
        tags=_texts(where, row, "tags", '"tags": ["easy", "2024"]'),
        cluster=_word(where, row, "cluster"),
        tier=tier,
        shares=shares,
    )
    try:
        case.model_dump_json().encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise ConfigError(f"{where}: half of a surrogate pair (\\ud800 to \\udfff).", "remove it") from error
    return case, scorer


def _kind(where: str, row: dict[str, Any], scorer: str | None, choices: list[str], spec: Spec) -> Any:
    """Return how the case is answered. A scorer named like a kind of choice says the same."""
    default = "dialogue" if "turns" in row else "reply"
    of_scorer = scorer if scorer in CHOICE_KINDS else default
    kind = _word(where, row, "kind") or spec.kind or of_scorer
    if kind not in KINDS:
        raise ConfigError(f"{where}: no kind '{kind}'.", f"one of {', '.join(KINDS)}")
    if (kind == "dialogue") != ("turns" in row):
        raise ConfigError(f"{where}: 'turns' and the kind 'dialogue' need each other.", '"turns": ["Hello", "Why?"]')
    if kind in CHOICE_KINDS and len(choices) < 2:
        raise ConfigError(f"{where}: the kind '{kind}' needs two choices or more.", '"choices": ["yes", "no"]')
    return kind


def _word(where: str, row: dict[str, Any], key: str) -> str | None:
    """Return an optional text of the row."""
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{where}: '{key}' is {json.dumps(value, default=str)[:80]}, not text.", f'"{key}": "…"')
    if not value.strip():
        raise ConfigError(f"{where}: '{key}' is empty.", f'"{key}": "…"')
    return value


def _texts(where: str, row: dict[str, Any], key: str, example: str) -> list[str]:
    """Return an optional list of texts."""
    texts = row.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConfigError(f"{where}: '{key}' is not a list of texts.", example)
    return texts


def _groups(where: str, row: dict[str, Any]) -> list[str]:
    """Return {"axis": "group"} as axis=group, in the order of the axes."""
    groups = row.get("groups", {})
    fine = isinstance(groups, dict) and all(
        isinstance(word, str) and word.strip() and "=" not in word for pair in groups.items() for word in pair
    )
    if not fine:
        raise ConfigError(f"{where}: 'groups' does not name one group per axis.", '"groups": {"region": "north"}')
    return [f"{axis}={group}" for axis, group in sorted(groups.items())]


def _messages(where: str, row: dict[str, Any]) -> list[Message]:
    prompt, system = _word(where, row, "prompt"), _word(where, row, "system")
    asked = [key for key in ("prompt", "messages", "turns") if row.get(key) is not None]
    if len(asked) != 1:
        raise ConfigError(f"{where}: a row has either 'prompt' or 'messages' (or 'turns'), and only one.", ROW)
    turns = row.get("messages")
    if prompt is not None:
        messages = [Message(role="user", content=prompt)]
    elif turns is None:
        texts = _texts(where, row, "turns", '"turns": ["Hello", "Why?"]')
        if not texts:
            raise ConfigError(f"{where}: 'turns' is empty.", '"turns": ["Hello", "Why?"]')
        messages = [Message(role="user", content=text) for text in texts]
    else:
        try:
            messages = [Message.model_validate(turn) for turn in turns] if isinstance(turns, list) else []
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(str(part) for part in fault["loc"]) or "a turn"
            raise ConfigError(
                f"{where}: 'messages': {place}: {fault['msg'].lower()}.", '{"role": "user", "content": "…"}'
            ) from error
        if not messages or messages[-1].role != "user":
            raise ConfigError(f"{where}: 'messages' must be a list that ends with the user's turn.", ROW)
    if system is None:
        return messages
    if any(message.role == "system" for message in messages):
        raise ConfigError(f"{where}: 'system', and a system message in 'messages'.", "keep one")
    return [Message(role="system", content=system), *messages]


def _check_scorer(where: str, name: str, reference: str, choices: list[str]) -> None:
    """Refuse a scorer that does not exist, or that would not accept the right answer."""
    try:
        function = find_scorer(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}", error.next_step) from error
    if name in BUILT_IN and grade(function, reference, reference, choices)[0] != 1.0:
        raise ConfigError(
            f"{where}: the scorer '{name}' does not accept the reference '{reference}' itself.",
            "give a number" if name == "numeric" else "use another scorer",
        )
