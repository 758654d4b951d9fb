"""Two hundred kinds of broken records: each is put aside with its reason, and everything around it goes on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.capture.importers import import_file, letters
from sharpen.capture.logs import LONGEST_LINE
from sharpen.records import Trace
from sharpen.store import Store

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.jsonl"))
KINDS: list[dict[str, str]] = [json.loads(line) for path in CORPUS for line in path.read_text().splitlines()]
GOOD: dict[str, Any] = {
    "sharpen": {"prompt": "Hi", "reply": "hello"},
    "openai": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "hello"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "hello"}]},
    "alpaca": {"instruction": "Hi", "output": "hello"},
    "langfuse": {"input": "Hi", "output": "hello"},
    "argilla": {"fields": {"prompt": "Hi", "response": "hello"}},
}


def test_the_corpus_has_two_hundred_kinds_and_at_most_five_of_a_mechanism() -> None:
    assert len(KINDS) == len({row["kind"] for row in KINDS}) == 200
    mechanisms = [row["kind"].rpartition(":")[0] for row in KINDS]
    assert max(mechanisms.count(one) for one in set(mechanisms)) <= 5


@pytest.mark.parametrize("format_", GOOD)
def test_each_broken_record_is_put_aside_and_its_neighbours_are_imported(
    sqlite_store: Store, tmp_path: Path, format_: str
) -> None:
    bad = [row for row in KINDS if row.get("format", "sharpen") == format_]
    path, good = tmp_path / "log.jsonl", json.dumps(GOOD[format_])
    with path.open("wb") as stream:
        for number, row in enumerate(bad):
            stream.write(good.replace("Hi", f"Hi {number}").encode() + b"\n")
            stream.write((bytes.fromhex(row["hex"]) if "hex" in row else row["raw"].encode()) + b"\n")
        stream.write(good.encode())
    done = import_file(sqlite_store, path, tmp_path / "state", format_=format_)
    assert (done.traces, done.bad, done.records) == (len(bad) + 1, len(bad), 2 * len(bad) + 1)
    assert done.dead is not None
    told = list(letters(done.dead))
    wrong = [
        (row["kind"], letter["reason"])
        for row, letter in itertools.zip_longest(bad, told)
        if row["reason"] not in letter["reason"]
    ]
    assert wrong == []
    assert [letter["line"] for letter in told] == list(range(2, 2 * len(bad) + 1, 2))


def test_a_line_of_ten_megabytes_is_put_aside_and_the_next_is_imported(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    row = json.dumps(GOOD["sharpen"])
    path.write_text(json.dumps({"prompt": "a" * 10_000_000, "reply": "b"}) + "\n" + row + "\n")
    done = import_file(sqlite_store, path, tmp_path / "state")
    assert (done.traces, done.reasons) == (1, {f"longer than {LONGEST_LINE} bytes": 1})
    long = json.dumps({"prompt": "a" * 2_000_000, "reply": "b"})
    path.write_text(long + "\n" + row)
    assert "a text has more than 1000000 characters" in import_file(sqlite_store, path, tmp_path / "state").reasons


def test_line_separators_inside_a_text_do_not_cut_it(sqlite_store: Store, tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive"
    path = tmp_path / "log.jsonl"
    path.write_bytes(json.dumps({"prompt": text, "reply": "b"}, ensure_ascii=False).replace("\x0b", "\\u000b").encode())
    assert import_file(sqlite_store, path, tmp_path / "state").bad == 0
    assert sqlite_store.find(Trace)[0].messages[0].content == text


def test_a_broken_array_keeps_what_came_before_the_break(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps([GOOD["sharpen"], {"prompt": 7, "reply": "x"}], indent=1)[:-2] + ', {"prompt": "b"')
    done = import_file(sqlite_store, path, tmp_path / "state")
    assert (done.traces, done.bad, sorted(done.reasons)) == (
        1,
        2,
        ["'prompt': Input should be a valid string", "the array breaks off"],
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prompt,reply\na,b,c\nd,e\n", "another number of cells"),
        ("prompt,reply\na\nd,e\n", "another number of cells"),
        ('prompt,reply\na,"b\nd,e\n', "not valid CSV"),
        ("prompt,reply,rating\na,b,good\nd,e,1\n", "is no number"),
        ("prompt,reply,rating\na,b,7\nd,e,1\n", "less than or equal to 1"),
    ],
)
def test_a_broken_line_of_a_table_is_put_aside(sqlite_store: Store, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    done = import_file(sqlite_store, path, tmp_path / "state")
    assert (done.bad, reason in "".join(done.reasons)) == (1, True)
    assert done.traces == (0 if '"b' in text else 1)
