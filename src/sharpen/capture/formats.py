"""What other tools write down of an exchange, and how it reads here.

In: one record of a tool's export. Out: rows of ours, as plain values. Must not know files or the store.

Everything in a record is data: nothing that it names is imported, called or fetched. What a format does not know is
refused with a reason, never guessed. Ratings on another scale are told as such: a score from 0 to 1 becomes -1 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sharpen.capture.rows import BadRow

Values = dict[str, Any]
Format = Callable[[Any], list[Values]]
_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "ai": "assistant", "assistant": "assistant",
    "bot": "assistant", "model": "assistant", "chatgpt": "assistant", "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool",
}  # fmt: skip


def own(record: Any) -> list[Values]:
    """Read our own rows: {"prompt" | "messages", "reply", and optionally "rating", "correction", ...}."""
    return [record]


def csv_row(record: Any) -> list[Values]:
    """Read a line of a table whose columns are named as our own keys; ratings are numbers there too."""
    cells = _object(record)
    if "rating" not in cells:
        return [cells]
    try:
        return [cells | {"rating": float(cells["rating"])}]
    except ValueError as error:
        raise BadRow(f"'rating': '{str(cells['rating'])[:40]}' is no number") from error


def openai(record: Any) -> list[Values]:
    """Read OpenAI's fine-tuning files: conversations, and preferences of one output over another."""
    told = _object(record)
    if "preferred_output" in told or "non_preferred_output" in told:
        messages = _turns(_need(_object(_need(told, "input")), "messages"))
        better, worse = (_reply(_turns(_need(told, name))) for name in ("preferred_output", "non_preferred_output"))
        return [{"messages": messages, "reply": better, "worse_reply": worse}]
    turns = _turns(_need(told, "messages"))
    return [_last_exchange(turns)]


def sharegpt(record: Any) -> list[Values]:
    """Read ShareGPT's conversations: every answer of the assistant is an exchange."""
    told = _object(record)
    turns = _turns(_need(told, "conversations"))
    session = str(told["id"])[:128] if told.get("id") not in (None, "") else None
    found = [
        {"messages": turns[:at], "reply": turn["content"], "session": session}
        for at, turn in enumerate(turns)
        if turn["role"] == "assistant" and at and turns[at - 1]["role"] == "user"
    ]
    if not found:
        raise BadRow("nobody answers a user in this conversation")
    return found


def alpaca(record: Any) -> list[Values]:
    """Read Alpaca's instructions: the input, where there is one, stands below the instruction."""
    told = _object(record)
    instruction, given = _text(told, "instruction"), told.get("input") or ""
    if not isinstance(given, str):
        raise BadRow("'input' is no text")
    return [{"prompt": f"{instruction}\n\n{given}" if given.strip() else instruction, "reply": _text(told, "output")}]


def langfuse(record: Any) -> list[Values]:
    """Read Langfuse's exported traces, with their scores: booleans and numbers from 0 to 1 are ratings."""
    told = _object(record)
    row = _asked_and_answered(_need(told, "input"), _need(told, "output"))
    row["session"] = told.get("sessionId") or None
    rows = []
    for score in _list(told.get("scores") or [], "scores"):
        value, kind = _object(score).get("value"), str(score.get("dataType", "NUMERIC")).upper()
        if kind == "CATEGORICAL":
            rows.append(row | {"comment": f"{score.get('name', 'score')}: {score.get('stringValue', value)}"})
        elif kind == "CORRECTION":
            rows.append(row | {"correction": _text(score, "stringValue")})
        else:
            note = {"comment": score["comment"]} if score.get("comment") else {}
            rows.append(row | {"rating": _scaled(value, f"score '{score.get('name')}'")} | note)
    return rows or [row]


def langsmith(record: Any) -> list[Values]:
    """Read LangSmith's exported runs, with their feedback: scores from 0 to 1, and corrections."""
    told = _object(record)
    row = _asked_and_answered(_need(told, "inputs"), _need(told, "outputs"))
    row["session"] = told.get("thread_id") or None
    rows = []
    for said in _list(told.get("feedback") or [], "feedback"):
        one = dict(row)
        if _object(said).get("score") is not None:
            one["rating"] = _scaled(said["score"], f"feedback '{said.get('key')}'")
        if said.get("correction") is not None:
            one["correction"] = _content(said["correction"])
        if said.get("comment"):
            one["comment"] = said["comment"]
        rows.append(one)
    return rows or [row]


def mlflow(record: Any) -> list[Values]:
    """Read MLflow's traces: request and response of the root span; assessments are ratings and expected answers."""
    told = _object(record)
    info = _object(told.get("info") or {})
    request, response = told.get("request"), told.get("response")
    if request is None:
        spans = _list(_need(_object(_need(told, "data")), "spans"), "spans")
        is_root = (span for span in map(_object, spans) if not span.get("parent_id") and not span.get("parent_span_id"))
        root = next(is_root, None)
        if root is None:
            raise BadRow("no span is the root")
        attributes = _object(_need(root, "attributes"))
        request, response = (_need(attributes, f"mlflow.span{end}") for end in ("Inputs", "Outputs"))
    row = _asked_and_answered(_unwrapped(request), _unwrapped(response))
    rows = []
    for one in _list(told.get("assessments") or info.get("assessments") or [], "assessments"):
        name = _object(one).get("assessment_name") or one.get("name")
        source = str(_object(one.get("source") or {}).get("source_id") or "")[:128]
        said = row | ({"source": source} if source else {})
        if one.get("expectation") is not None:
            rows.append(said | {"correction": _content(_object(one["expectation"]).get("value"))})
        elif one.get("feedback") is not None:
            value = _object(one["feedback"]).get("value")
            if isinstance(value, bool | int | float):
                rows.append(said | {"rating": _scaled(value, f"assessment '{name}'")})
            else:
                rows.append(said | {"comment": f"{name}: {value}"})
    return rows or [row]


_PROMPTS = ("prompt", "instruction", "question", "chat", "messages", "text")
_ANSWERS = (
    "response",
    "answer",
    "completion",
    "response1",
    "response2",
    "response-1",
    "response-2",
    "chosen",
    "rejected",
)


def argilla(record: Any) -> list[Values]:
    """Read Argilla's records: a prompt, an answer or two, and what annotators said of them.

    A rating runs from 1 to 5, a ranking or a label names the better of two answers, a text is a correction.
    """
    told = _object(record)
    fields = _object(_need(told, "fields"))
    prompt = next((fields[name] for name in _PROMPTS if fields.get(name)), None)
    if prompt is None:
        raise BadRow("no field is a prompt: prompt, instruction, question, chat or text")
    row = {"messages": _turns(prompt)} if isinstance(prompt, list) else {"prompt": prompt}
    answers = [fields[name] for name in _ANSWERS if fields.get(name) is not None]
    if not answers or not all(isinstance(answer, str) for answer in answers):
        raise BadRow("no field is an answer in words: response, or response1 and response2")
    rows = []
    for question, said in _object(told.get("responses") or {}).items():
        for one in _list(said, f"responses.{question}"):
            who = str(_object(one).get("user_id") or "")[:128]
            by = row | ({"source": who} if who else {})
            if len(answers) == 2:
                rows.append(by | _preferred(one.get("value"), answers[0], answers[1]))
            elif isinstance(one.get("value"), str):
                rows.append(by | {"reply": answers[0], "correction": one["value"]})
            else:
                rows.append(by | {"reply": answers[0], "rating": _scaled(one.get("value"), f"'{question}'", 1, 5)})
    return rows or [row | {"reply": answer} for answer in answers]


FORMATS: dict[str, Format] = {
    "sharpen": own, "csv": csv_row, "openai": openai, "sharegpt": sharegpt, "alpaca": alpaca, "langfuse": langfuse,
    "langsmith": langsmith, "mlflow": mlflow, "argilla": argilla,
}  # fmt: skip
# Which keys tell a format from the others, looked for in this order.
_MARKS: tuple[tuple[str, frozenset[str]], ...] = (
    ("sharpen", frozenset({"reply"})),
    ("openai", frozenset({"preferred_output"})),
    ("sharegpt", frozenset({"conversations"})),
    ("argilla", frozenset({"fields"})),
    ("alpaca", frozenset({"instruction", "output"})),
    ("langsmith", frozenset({"inputs", "outputs"})),
    ("mlflow", frozenset({"info"})),
    ("mlflow", frozenset({"request", "response"})),
    ("langfuse", frozenset({"input", "output"})),
    ("openai", frozenset({"messages"})),
)


def recognised(record: Any) -> str | None:
    """Return the name of the format that a record's keys tell, or None."""
    keys = record.keys() if isinstance(record, dict) else set()
    return next((name for name, marks in _MARKS if marks <= keys), None)


def _asked_and_answered(asked: Any, answered: Any) -> Values:
    if isinstance(asked, Mapping) and "messages" in asked:
        asked = asked["messages"]
    if isinstance(asked, list):
        if asked and isinstance(asked[0], list):  # LangChain's models take a batch of conversations
            asked = asked[0]
        return {"messages": _turns(asked), "reply": _content(answered)}
    return {"prompt": _content(asked), "reply": _content(answered)}


_WORDS = (
    "content", "output", "answer", "text", "value", "message", "data", "kwargs", "generations", "choices", "messages",
    "input", "question", "query", "prompt", "response",
)  # fmt: skip


def _content(value: Any) -> str:
    """Return the words of what a tool calls an input or an output."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        texts = [part.get("text") for part in value if isinstance(part, Mapping) and part.get("type", "text") == "text"]
        if len(texts) == len(value) and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
        return _content(value[-1])
    if isinstance(value, Mapping):
        for name in _WORDS:
            if value.get(name) is not None:
                return _content(value[name])
        if len(value) == 1:
            return _content(next(iter(value.values())))
    raise BadRow(f"no words in {json.dumps(value, default=str)[:60]}")


def _turns(said: Any) -> list[Values]:
    turns = []
    for turn in _list(said, "messages"):
        told = _object(turn)
        data = told.get("data") or told.get("kwargs")
        role = told.get("role") or told.get("from") or told.get("type")
        if isinstance(told.get("id"), list) and told["id"]:  # LangChain's envelope: its class says who speaks
            role = str(told["id"][-1]).removesuffix("Chunk").removesuffix("Message").lower()
        if role not in _ROLES:
            raise BadRow(f"nobody known speaks: {json.dumps(role, default=str)[:40]}")
        words = next((told[name] for name in ("content", "value") if told.get(name) is not None), data)
        turns.append({"role": _ROLES[role], "content": _content(words)})
    return turns


def _last_exchange(turns: Sequence[Values]) -> Values:
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise BadRow("the last turn is not the assistant's")
    return {"messages": list(turns[:-1]), "reply": turns[-1]["content"]}


def _reply(turns: Sequence[Values]) -> str:
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise BadRow("an output is not one turn of the assistant")
    return str(turns[0]["content"])


def _preferred(value: Any, one: str, two: str) -> Values:
    if isinstance(value, list) and value:  # a ranking: the first, or the one of rank 1
        ranked = [item for item in value if isinstance(item, Mapping)]
        value = min(ranked, key=lambda item: item.get("rank") or 99).get("value") if ranked else value[0]
    last = str(value)[-1:] if isinstance(value, str | int) and not isinstance(value, bool) else ""
    is_first = last == "1" or value == "chosen"
    if not is_first and last != "2" and value != "rejected":
        raise BadRow(f"neither of two answers is preferred: {json.dumps(value, default=str)[:40]}")
    return {"reply": one, "worse_reply": two} if is_first else {"reply": two, "worse_reply": one}


def _scaled(value: Any, what: str, low: float = 0.0, high: float = 1.0) -> float:
    if isinstance(value, bool):
        return 1.0 if value else -1.0
    if not isinstance(value, int | float) or not low <= value <= high:
        raise BadRow(f"{what} is {json.dumps(value, default=str)[:40]}, not a number from {low:g} to {high:g}")
    return 2 * (value - low) / (high - low) - 1


def _unwrapped(value: Any) -> Any:
    """Return what a JSON text says; other texts stand for themselves."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _object(value: Any) -> Values:
    if not isinstance(value, dict):
        raise BadRow(f"not an object: {json.dumps(value, default=str)[:40]}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRow(f"'{name}' is no list")
    return value


def _need(told: Values, name: str) -> Any:
    if told.get(name) is None:
        raise BadRow(f"'{name}' is missing")
    return told[name]


def _text(told: Values, name: str) -> str:
    found = _need(told, name)
    if not isinstance(found, str) or not found.strip():
        raise BadRow(f"'{name}' is no text")
    return found
