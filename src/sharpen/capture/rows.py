"""One exchange that was recorded elsewhere, checked; and the records that it becomes.

In: plain values. Out: a `Row`, or what is wrong with it; Traces, Feedback and Sources. Must not know files or formats.

Ids are hashes of what a row says: importing it again writes nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sharpen.capture.feedback import is_plain
from sharpen.records import Feedback, Message, Record, Source, Trace, content_hash

ELSEWHERE = "imported"  # the version of a row that names none: no ModelVersion has this id
LONGEST = 1_000_000  # chosen: characters of a text; no model reads more, and a store should not have to hold it


class BadRow(ValueError):  # noqa: N818 - a finding, not a fault of ours
    """A row that cannot be used, and why."""


class Row(BaseModel):
    """One exchange. An unknown key is refused: a misspelt correction must not be lost in silence."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str | None = None
    messages: list[Message] | None = None
    reply: str
    rating: float | None = Field(default=None, ge=-1, le=1)
    correction: str | None = None
    comment: str | None = None
    source: str | None = Field(default=None, min_length=1, max_length=128)
    worse_reply: str | None = None
    session: str | None = Field(default=None, min_length=1, max_length=128)
    version: str = Field(default=ELSEWHERE, min_length=1, max_length=64)

    @model_validator(mode="after")
    def _makes_sense(self) -> Row:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a row has either 'prompt' or 'messages'")
        if not self.turns or self.turns[-1].role != "user":
            raise ValueError("'messages' must end with the user's turn")
        said = [self.reply, self.correction or "", self.comment or "", self.worse_reply or ""]
        texts = [turn.content for turn in self.turns] + said
        if not all(is_plain(text) for text in texts):
            raise ValueError("a text holds NUL or half of a surrogate pair")
        if max(map(len, texts)) > LONGEST:
            raise ValueError(f"a text has more than {LONGEST} characters")
        if not self.turns[-1].content.strip():
            raise ValueError("the user's turn is blank")
        if self.correction is not None and not self.correction.strip():
            raise ValueError("'correction' is blank: leave it out")
        if self.worse_reply is not None and self.worse_reply == self.reply:
            raise ValueError("'worse_reply' is the reply itself")
        names = (self.session, self.version, self.source)
        if not all((name or "").isprintable() for name in names):
            raise ValueError("'session', 'version' and 'source' are names: printable characters only")
        return self

    @property
    def turns(self) -> tuple[Message, ...]:
        """The request's messages."""
        return tuple(self.messages or ()) if self.prompt is None else (Message(role="user", content=self.prompt),)

    @property
    def trace_id(self) -> str:
        """The same exchange has the same id, whatever was said of it."""
        return self._trace_id(self.reply)

    @property
    def has_feedback(self) -> bool:
        """Whether the row says anything of its reply."""
        return self.rating is not None or self.correction is not None or self.comment is not None

    def records(self) -> list[Record]:
        """Return what the row becomes: the exchange, the one that is worse, and what was said of them."""
        made: list[Record] = [self._trace(self.reply)]
        source = None
        if self.source is not None:
            source = f"{Source.prefix}_{content_hash(['source', self.source], 32)}"
            made.append(Source(id=source, name=self.source))
        if self.has_feedback:
            said: list[Any] = [self.trace_id, self.rating, self.correction]
            said += [self.comment, self.source] if self.comment or self.source else []
            key = content_hash(said, 32)
            made.append(
                Feedback(
                    id=f"{Feedback.prefix}_{content_hash(['key', key], 32)}",
                    trace_id=self.trace_id,
                    rating=self.rating,
                    correction=self.correction,
                    comment=self.comment,
                    source_id=source,
                )
            )
        if self.worse_reply is not None:
            worse = self._trace(self.worse_reply)
            name = content_hash(["better", self.trace_id, worse.id, self.source], 32)
            compared = Feedback(
                id=f"{Feedback.prefix}_{name}", trace_id=self.trace_id, better_than=worse.id, source_id=source
            )
            made += [worse, compared]
        return made

    def _trace(self, reply: str) -> Trace:
        return Trace(
            id=self._trace_id(reply),
            messages=self.turns,
            reply=reply,
            version_id=self.version,
            session=self.session,
            finish_reason="stop",
        )

    def _trace_id(self, reply: str) -> str:
        said = [[turn.model_dump() for turn in self.turns], reply, self.session, self.version]
        return f"{Trace.prefix}_{content_hash(['import', *said], 32)}"


def row_of(values: Any) -> Row:
    """Check a row. Raises: BadRow with the fault."""
    try:
        return Row.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        place = f"'{'.'.join(str(part) for part in fault['loc'])}': " if fault["loc"] else ""
        raise BadRow(f"{place}{fault['msg'].removeprefix('Value error, ')}") from error
