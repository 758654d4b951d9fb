"""What a client may ask of /v1/chat/completions.

In: the JSON body as OpenAI describes it. Out: an engine's request and how the answer is to be sent. Must not know how
it is answered.

A field that would change the answer and that we cannot honour is refused; any other unknown field is ignored.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sharpen.capture.feedback import is_plain
from sharpen.gateway.faults import Fault
from sharpen.models.engine import Request
from sharpen.records import Message

CHAMPION_NAMES = ("sharpen", "champion", "default")
_MOST_MESSAGES = 1024  # chosen: more than any context window here can hold
_LONGEST_SESSION = 128  # the store's subject column
_NEUTRAL: dict[str, tuple[Any, ...]] = {  # fields we cannot honour, and the values that ask for nothing
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}

StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _Open(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


class TextPart(_Open):
    """A piece of a message. Only text is read."""

    type: Literal["text"]
    text: str


class Turn(_Open):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def text(self) -> str:
        """Return the words."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(_Open):
    """What a stream ends with."""

    include_usage: bool = False


class Ask(_Open):
    """The body. `temperature` is 0 unless asked for: what is evaluated is then what is served."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")

    messages: list[Turn] = Field(min_length=1, max_length=_MOST_MESSAGES)
    model: str = Field(default=CHAMPION_NAMES[0], min_length=1, max_length=128)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None

    def request(self, max_reply_tokens: int) -> Request:
        """Return the engine's request. Raises: Fault 400 when something asked for cannot be done."""
        for name, value in (self.model_extra or {}).items():
            if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
                message = f"'{name}' is not supported here; leave it out."
                raise Fault(400, message, code="unsupported_parameter", param=name)
        if not all(is_plain(turn.text()) for turn in self.messages):
            raise Fault(400, "messages: the text holds a NUL character.", code="invalid_text", param="messages")
        wanted = self.max_completion_tokens or self.max_tokens or max_reply_tokens
        if wanted > max_reply_tokens:
            message = f"At most {max_reply_tokens} tokens can be asked for ([gateway] max_reply_tokens)."
            raise Fault(400, message, code="max_tokens_too_large", param="max_tokens")
        return Request(
            messages=tuple(
                Message(role="system" if turn.role == "developer" else turn.role, content=turn.text())
                for turn in self.messages
            ),
            max_new_tokens=wanted,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(31) if self.seed is None else self.seed % 2**63,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        )

    def session(self, header: str | None) -> str | None:
        """Return the session's name: the header's, or else the user's. Raises: Fault 400 when it is no name."""
        name = header or self.user or None
        if name is not None and not (len(name) <= _LONGEST_SESSION and name.isprintable()):
            message = f"A session or user is named by at most {_LONGEST_SESSION} printable characters."
            raise Fault(400, message, code="invalid_session", param="user")
        return name
