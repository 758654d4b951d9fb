"""What was recorded elsewhere comes in whole, once, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.capture.importers import ELSEWHERE, import_jsonl
from sharpen.errors import ConfigError
from sharpen.records import Feedback, Trace
from sharpen.store import Store

GOOD: dict[str, Any] = {"prompt": "Where is my parcel?", "reply": "sales", "correction": "delivery", "rating": -1}


def file(folder: Path, *rows: Any) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_a_row_becomes_an_exchange_and_what_was_said_of_it(any_store: Store, tmp_path: Path) -> None:
    assert import_jsonl(any_store, file(tmp_path, GOOD | {"session": "s1", "version": "ver_9"})) == (1, 1)
    [trace], [said] = any_store.find(Trace), any_store.find(Feedback)
    assert [(turn.role, turn.content) for turn in trace.messages] == [("user", "Where is my parcel?")]
    assert (trace.reply, trace.session, trace.version_id, trace.finish_reason) == ("sales", "s1", "ver_9", "stop")
    assert (said.trace_id, said.rating, said.correction) == (trace.id, -1.0, "delivery")


def test_a_row_with_messages_keeps_them_and_one_without_feedback_has_none(sqlite_store: Store, tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi\u2028there"}]
    assert import_jsonl(sqlite_store, file(tmp_path, {"messages": turns, "reply": ""}, "")) == (1, 0)
    [trace] = sqlite_store.find(Trace)
    assert [turn.model_dump() for turn in trace.messages] == turns
    assert (trace.reply, trace.version_id) == ("", ELSEWHERE)


def test_importing_again_writes_only_what_is_new(sqlite_store: Store, tmp_path: Path) -> None:
    path = file(tmp_path, GOOD, GOOD, GOOD | {"prompt": "And my refund?"})
    assert import_jsonl(sqlite_store, path) == (2, 2)
    digest = sqlite_store.digest()
    assert import_jsonl(sqlite_store, path) == (0, 0)
    assert sqlite_store.digest() == digest
    assert import_jsonl(sqlite_store, file(tmp_path, GOOD | {"correction": "returns"})) == (0, 1)


def test_words_that_were_erased_do_not_come_back(sqlite_store: Store, tmp_path: Path) -> None:
    path = file(tmp_path, GOOD)
    import_jsonl(sqlite_store, path)
    sqlite_store.erase(sqlite_store.find(Trace)[0].id)
    sqlite_store.erase(sqlite_store.find(Feedback)[0].id)
    assert import_jsonl(sqlite_store, path) == (0, 0)
    assert sqlite_store.find(Trace)[0].reply is None
    assert sqlite_store.find(Feedback)[0].correction is None


BAD = {
    "no JSON": ("{", "not valid JSON"),
    "a deep nest": ("[" * 100_000, "not valid JSON"),
    "not an object": ([1], "valid dictionary"),
    "no reply": ({"prompt": "Hi"}, "'reply': Field required"),
    "no prompt": ({"reply": "x"}, "either 'prompt' or 'messages'"),
    "prompt and messages": (GOOD | {"messages": [{"role": "user", "content": "x"}]}, "either 'prompt' or 'messages'"),
    "no turns": ({"messages": [], "reply": "x"}, "must end with the user's turn"),
    "the assistant's turn last": (
        {"messages": [{"role": "assistant", "content": "x"}], "reply": "x"}, "must end with the user's turn",
    ),
    "a turn of nobody": ({"messages": [{"role": "me", "content": "x"}], "reply": "x"}, "'messages.0.role'"),
    "a misspelt key": (GOOD | {"corection": "x"}, "'corection'"),
    "a rating as text": (GOOD | {"rating": "1"}, "'rating'"),
    "a rating too high": (GOOD | {"rating": 5}, "'rating'"),
    "a rating that is no number": ('{"prompt": "a", "reply": "b", "rating": NaN}', "NaN is not a number"),
    "a blank correction": (GOOD | {"correction": " "}, "'correction' is blank"),
    "half a character": ('{"prompt": "a\\ud800", "reply": "b"}', "surrogate"),
    "a NUL": (GOOD | {"reply": "a\0"}, "NUL"),
    "a session on two lines": (GOOD | {"session": "a\nb"}, "printable"),
    "a session too long": (GOOD | {"session": "a" * 129}, "'session'"),
    "a version too long": (GOOD | {"version": "a" * 65}, "'version'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_names_its_line_and_nothing_is_written(sqlite_store: Store, tmp_path: Path, name: str) -> None:
    row, fault = BAD[name]
    with pytest.raises(ConfigError) as caught:
        import_jsonl(sqlite_store, file(tmp_path, GOOD, "", row))
    assert "log.jsonl:3: " in caught.value.what
    assert fault in caught.value.what
    assert caught.value.next_step
    assert sqlite_store.count(Trace) == sqlite_store.count(Feedback) == 0


def test_a_file_that_cannot_be_read_is_a_sentence(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        import_jsonl(sqlite_store, tmp_path / "nowhere.jsonl")
    with pytest.raises(ConfigError, match="is empty"):
        import_jsonl(sqlite_store, file(tmp_path, ""))
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "\xe9"}')
    with pytest.raises(ConfigError, match=r"latin\.jsonl:2: not UTF-8"):
        import_jsonl(sqlite_store, path)
