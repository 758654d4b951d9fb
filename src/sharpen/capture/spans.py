"""Spans that an app traced become Traces, whichever of the two conventions its instrumentation follows.

In: OTLP spans, as plain values. Out: Traces, and the reason for each span of a model that could not be used. Must not
know HTTP, nor how the spans were encoded.

The conventions: OpenTelemetry's for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/), where messages
are attributes or an event's, as JSON or as values; and OpenInference's
(https://github.com/Arize-ai/openinference/tree/main/spec), where they are numbered attributes. A Trace's id follows
from its span's: a span that is sent again is written once, and feedback can name it before it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sharpen.capture.rows import ELSEWHERE, BadRow, Row, row_of
from sharpen.capture.saying import LONGEST_NAME, trace_id_of
from sharpen.records import ModelVersion, Trace

_OPERATIONS = ("chat", "text_completion", "generate_content")
_NUMBERED = re.compile(r"llm\.(input|output)_messages\.(\d{1,4})\.message\.(.+)")
_PART = re.compile(r"contents\.(\d{1,4})\.message_content\.text")
_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}


@dataclass(frozen=True)
class Span:
    """One span: ids in hex, times in seconds, attributes as plain values, those of its events merged in."""

    trace_id: str
    span_id: str
    seconds: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exchange(self) -> str:
        """The name by which feedback may speak of it."""
        return f"{self.trace_id}-{self.span_id}"


@dataclass
class Read:
    """What became of a batch: `passed_by` are spans of no model, or of an exchange that this gateway wrote itself."""

    traces: list[Trace] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    passed_by: int = 0


def traces_of(spans: Iterable[Span]) -> Read:
    """Read a batch. Never raises: what cannot be used is a reason, and the rest goes on."""
    read = Read()
    for span in spans:
        if not _is_exchange(span):
            read.passed_by += 1
            continue
        try:
            read.traces.append(_trace(span))
        except BadRow as error:
            read.reasons.append(f"span {span.exchange}: {error}")
    return read


def _is_exchange(span: Span) -> bool:
    said = span.attributes
    answered_by = str(said.get("gen_ai.response.model") or said.get("llm.model_name") or "")
    if answered_by.startswith(f"{ModelVersion.prefix}_"):  # it asked this gateway, which has written it down
        return False
    return said.get("openinference.span.kind") == "LLM" or said.get("gen_ai.operation.name") in _OPERATIONS


def _trace(span: Span) -> Trace:
    said = span.attributes
    asked, answered = _genai(said) if "gen_ai.operation.name" in said else ([], [])
    if not asked:
        asked, answered = _numbered(said, "input"), _numbered(said, "output")
    if not asked or not answered:
        raise BadRow("it holds no messages: turn the capture of message content on in the instrumentation")
    row: Row = row_of({"messages": asked, "reply": answered[0]["content"], "session": _session(said)})
    return Trace(
        id=trace_id_of(span.exchange),
        messages=row.turns,
        reply=row.reply,
        version_id=ELSEWHERE,
        session=row.session,
        prompt_tokens=_count(said, "gen_ai.usage.input_tokens", "llm.token_count.prompt"),
        completion_tokens=_count(said, "gen_ai.usage.output_tokens", "llm.token_count.completion"),
        latency_s=span.seconds,
        finish_reason="stop",
    )


def _session(said: Mapping[str, Any]) -> str | None:
    name = said.get("gen_ai.conversation.id") or said.get("session.id")
    return str(name)[:LONGEST_NAME] if name else None


def _count(said: Mapping[str, Any], *names: str) -> int:
    found = next((said[name] for name in names if isinstance(said.get(name), int)), 0)
    return max(0, min(int(found), 2**31 - 1))


def _genai(said: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what was asked and answered. Raises: BadRow."""
    system = "".join(_words(part) for part in _list(said, "gen_ai.system_instructions"))
    asked = [{"role": "system", "content": system}] if system else []
    asked += [_turn(one) for one in _list(said, "gen_ai.input.messages")]
    return asked, [_turn(one) for one in _list(said, "gen_ai.output.messages")]


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    value = said.get(name, [])
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadRow(f"'{name}' is not JSON") from error
    if not isinstance(value, list):
        raise BadRow(f"'{name}' is no list")
    return value


def _turn(one: Any) -> dict[str, Any]:
    if not isinstance(one, Mapping):
        raise BadRow("a message is no object")
    parts = one.get("parts", one.get("content", ""))
    words = parts if isinstance(parts, str) else "".join(map(_words, parts if isinstance(parts, list) else []))
    return {"role": _role(one.get("role")), "content": words}


def _words(part: Any) -> str:
    """Return a part's words: of a text, or of what a tool answered; nothing of a picture or a call."""
    if not isinstance(part, Mapping):
        return ""
    found = {"text": part.get("content", part.get("text")), "tool_call_response": part.get("response")}
    words = found.get(str(part.get("type")))
    return words if isinstance(words, str) else ""


def _role(role: Any) -> str:
    return _ROLES.get(str(role), str(role))


def _numbered(said: Mapping[str, Any], side: str) -> list[dict[str, Any]]:
    turns: dict[int, dict[str, Any]] = {}
    parts: dict[int, dict[int, str]] = {}
    for name, value in said.items():
        found = _NUMBERED.fullmatch(name)
        if found is None or found[1] != side:
            continue
        number, what = int(found[2]), found[3]
        turn = turns.setdefault(number, {"role": "assistant" if side == "output" else "user", "content": ""})
        part = _PART.fullmatch(what)
        if what == "role":
            turn["role"] = _role(value)
        elif what == "content":
            turn["content"] = value
        elif part is not None and isinstance(value, str):
            parts.setdefault(number, {})[int(part[1])] = value
    for number, pieces in parts.items():
        turns[number]["content"] = turns[number]["content"] or "".join(pieces[place] for place in sorted(pieces))
    return [turns[number] for number in sorted(turns)]
