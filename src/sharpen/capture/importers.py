"""Exchanges that were recorded elsewhere become Traces and Feedback.

In: a JSONL file. Out: records, in the store. Must not know how the exchanges came about.

A row is {"prompt": str | "messages": [...], "reply": str} and, optionally, "rating" (-1 to 1), "correction", "session"
and "version". Ids are hashes of what a row says: importing a file again, or going on with an import that was killed,
writes only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sharpen.capture.feedback import is_plain, record_feedback
from sharpen.capture.traces import record_trace
from sharpen.errors import ConfigError
from sharpen.models.engine import Generation
from sharpen.records import Feedback, Message, Trace, content_hash
from sharpen.store import Store

ELSEWHERE = "imported"  # the version of a row that names none: no ModelVersion has this id
_ROW = '{"prompt": "…", "reply": "…", "correction": "…"}'


class Row(BaseModel):
    """One exchange. An unknown key is refused: a misspelt correction must not be lost in silence."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str | None = None
    messages: list[Message] | None = None
    reply: str
    rating: float | None = Field(default=None, ge=-1, le=1)
    correction: str | None = None
    session: str | None = Field(default=None, min_length=1, max_length=128)
    version: str = Field(default=ELSEWHERE, min_length=1, max_length=64)

    @model_validator(mode="after")
    def _makes_sense(self) -> Row:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a row has either 'prompt' or 'messages'")
        if not self.turns or self.turns[-1].role != "user":
            raise ValueError("'messages' must end with the user's turn")
        texts = [turn.content for turn in self.turns] + [self.reply, self.correction or ""]
        if not all(is_plain(text) for text in texts):
            raise ValueError("a text holds NUL or half of a surrogate pair")
        if self.correction is not None and not self.correction.strip():
            raise ValueError("'correction' is blank: leave it out")
        if not (self.session or "").isprintable() or not self.version.isprintable():
            raise ValueError("'session' and 'version' are names: printable characters only")
        return self

    @property
    def turns(self) -> tuple[Message, ...]:
        """The request's messages."""
        return tuple(self.messages or ()) if self.prompt is None else (Message(role="user", content=self.prompt),)

    @property
    def trace_id(self) -> str:
        """The same exchange has the same id, whatever was said of it."""
        said = [[turn.model_dump() for turn in self.turns], self.reply, self.session, self.version]
        return f"{Trace.prefix}_{content_hash(['import', *said], 32)}"

    @property
    def has_feedback(self) -> bool:
        """Whether the row says anything of its reply."""
        return self.rating is not None or self.correction is not None


def import_jsonl(store: Store, path: Path) -> tuple[int, int]:
    """Import a file and return how many exchanges and pieces of feedback were new.

    Nothing is written before the whole file is checked. Raises: ConfigError naming file, line and fault; StoreError.
    """
    rows = [_row(f"{path}:{line}", raw) for line, raw in _lines(path)]
    if not rows:
        raise ConfigError(f"{path} is empty.", f"one exchange a line: {_ROW}")
    before = store.count(Trace), store.count(Feedback)
    known = {trace.id for trace in store.find(Trace, ids=[row.trace_id for row in rows])}
    for row in rows:
        if row.trace_id not in known:
            answer = Generation(row.reply, prompt_tokens=0, completion_tokens=0, finish_reason="stop")
            record_trace(
                store, messages=row.turns, generation=answer, version_id=row.version, session=row.session,
                trace_id=row.trace_id,
            )  # fmt: skip
            known.add(row.trace_id)
        if row.has_feedback:
            key = content_hash([row.trace_id, row.rating, row.correction], 32)
            record_feedback(store, trace_id=row.trace_id, rating=row.rating, correction=row.correction, key=key)
    return store.count(Trace) - before[0], store.count(Feedback) - before[1]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.", "check the path") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte {error.start}).", "save the file as UTF-8") from error
    # Not splitlines(): it would cut at line separators such as U+2028, which JSON allows inside a text.
    return ((line, raw) for line, raw in enumerate(text.split("\n"), start=1) if raw.strip())


def _row(where: str, raw: str) -> Row:
    try:
        return Row.model_validate(json.loads(raw))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}", f"one exchange a line: {_ROW}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = f"'{'.'.join(str(part) for part in fault['loc'])}': " if fault["loc"] else ""
        known = f"known keys: {', '.join(Row.model_fields)}" if fault["type"] == "extra_forbidden" else _ROW
        said = fault["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {place}{said}.", known) from error
