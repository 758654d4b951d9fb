"""Rows of a suite file become cases, and a bad row becomes a sentence that names it.

In: a JSONL or CSV file. Out: cases, and the scorer of each that names one. Must not know models or who asks.

A row is {"prompt": str | "messages": [...], "reference": str} and, optionally, "system", "choices", "cluster", "tier"
and "scorer". In CSV the same names head the columns, and choices are separated by "|".
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sharpen.errors import ConfigError
from sharpen.records import Case, Message
from sharpen.verify.cases import TIERS, make_case
from sharpen.verify.scorers import BUILT_IN, CHOICE, find_scorer, grade

KEYS = ("prompt", "messages", "system", "reference", "choices", "cluster", "tier", "scorer")
ROW = '{"prompt": "…", "reference": "…"}'


def read_rows(path: Path) -> tuple[tuple[Case, ...], dict[str, str]]:
    """Return a file's cases, and the scorer per case id where the row names one.

    A row that is there twice counts once. Raises: ConfigError naming file, line and fault.
    """
    rows = _csv_rows if path.suffix == ".csv" else _jsonl_rows
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"The suite '{path}' is no known format.", "FILE.jsonl, FILE.csv or reasoning-gym:NAME")
    cases: dict[str, Case] = {}
    scorers: dict[str, str] = {}
    lines: dict[str, int] = {}
    tiers: dict[str, tuple[str, int]] = {}
    for line, row in rows(path, _text(path)):
        where = f"{path}:{line}"
        case, scorer = _case(where, row)
        first = cases.setdefault(case.id, case)
        if first != case or (case.id in lines and scorers.get(case.id) != scorer):
            fault = "reference" if first.reference != case.reference else "choices, cluster, tier or scorer"
            raise ConfigError(f"{where}: the prompt of line {lines[case.id]} again, with another {fault}.", "keep one")
        tier, before = tiers.setdefault(case.cluster, (case.tier, line))
        if tier != case.tier:
            raise ConfigError(
                f"{where}: cluster '{case.cluster}' is in tier '{tier}' on line {before}, and in '{case.tier}' here.",
                "a cluster is in one tier, or training would see what the gate asks",
            )
        lines.setdefault(case.id, line)
        if scorer is not None:
            scorers[case.id] = scorer
    if not cases:
        raise ConfigError(f"The suite {path} is empty.", f"one row a line: {ROW}")
    chosen = sum(scorer == CHOICE for scorer in scorers.values())
    if 0 < chosen < len(cases):
        raise ConfigError(
            f"{path}: {chosen} of {len(cases)} cases have the scorer '{CHOICE}'.", "all of a suite's, or none"
        )
    return tuple(cases.values()), scorers


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"The suite {path} cannot be read: {reason}.", "FILE.jsonl, FILE.csv or reasoning-gym:NAME"
        ) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte {error.start}).", "save the file as UTF-8") from error


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): it would cut at line separators such as U+2028, which JSON allows inside a text.
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{path}:{line}: not valid JSON: {error}", f"one row a line: {ROW}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{line}: a {type(row).__name__}, not an object.", f"one row a line: {ROW}")
        yield line, row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        columns = len(reader.fieldnames or ())
        while True:
            line = reader.line_num + 1  # where the row begins; a quoted cell may hold line breaks
            cells = next(reader, None)
            if cells is None:
                return
            if None in cells or None in cells.values():
                raise ConfigError(f"{path}:{line}: not {columns} cells, as in the head.", "put quotes around commas")
            row: dict[str, Any] = {name: cell for name, cell in cells.items() if cell != ""}
            if "choices" in row:
                row["choices"] = [choice.strip() for choice in row["choices"].split("|")]
            yield line, row
    except csv.Error as error:
        raise ConfigError(f"{path}:{line}: not valid CSV: {error}", "check the quotes") from error


def _case(where: str, row: dict[str, Any]) -> tuple[Case, str | None]:
    """Check one row. Raises: ConfigError."""
    for key in row:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            raise ConfigError(
                f"{where}: no key '{key}'.", f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KEYS)}"
            )
    reference = _word(where, row, "reference")
    if reference is None:
        raise ConfigError(f"{where}: 'reference' is missing.", "give the right answer, as text")
    choices = row.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ConfigError(f"{where}: 'choices' is not a list of texts.", '"choices": ["yes", "no"]')
    if len(set(choices)) != len(choices):
        raise ConfigError(f"{where}: 'choices' names one answer twice.", "name each once")
    if choices and reference not in choices:
        raise ConfigError(f"{where}: the reference '{reference}' is not among the choices.", ", ".join(choices))
    tier, scorer = _word(where, row, "tier"), _word(where, row, "scorer")
    if tier is not None and tier not in TIERS:
        raise ConfigError(f"{where}: no tier '{tier}'.", f"one of {', '.join(TIERS)}")
    _check_scorer(where, scorer or "exact", reference, choices)
    case = make_case(
        _messages(where, row),
        reference,
        choices=choices,
        cluster=_word(where, row, "cluster"),
        tier=tier,  # type: ignore[arg-type]  # checked above
    )
    try:
        case.model_dump_json().encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise ConfigError(f"{where}: half of a surrogate pair (\\ud800 to \\udfff).", "remove it") from error
    return case, scorer


def _word(where: str, row: dict[str, Any], key: str) -> str | None:
    """Return an optional text of the row."""
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{where}: '{key}' is {json.dumps(value)[:80]}, not text.", f'"{key}": "…"')
    if not value.strip():
        raise ConfigError(f"{where}: '{key}' is empty.", f'"{key}": "…"')
    return value


def _messages(where: str, row: dict[str, Any]) -> list[Message]:
    prompt, system, turns = _word(where, row, "prompt"), _word(where, row, "system"), row.get("messages")
    if (prompt is None) == (turns is None):
        raise ConfigError(f"{where}: a row has either 'prompt' or 'messages'.", ROW)
    if prompt is not None:
        messages = [Message(role="user", content=prompt)]
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
    if name == CHOICE:
        if len(choices) < 2:
            raise ConfigError(f"{where}: the scorer '{CHOICE}' needs two choices or more.", '"choices": ["yes", "no"]')
        return
    try:
        function = find_scorer(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}", error.next_step) from error
    if name in BUILT_IN and grade(function, reference, reference, choices)[0] != 1.0:
        raise ConfigError(
            f"{where}: the scorer '{name}' does not accept the reference '{reference}' itself.",
            "give a number" if name == "numeric" else "use another scorer",
        )
