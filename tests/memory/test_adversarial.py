"""Text that attacks: it steers no query, crosses to no tenant, crashes nothing, and stays data in a prompt.

The cases are in adversarial.jsonl, at most five per mechanism: a value, where it goes (the text of a memory and of a
question, an id, a tenant's name, or a filter), and how often it is repeated.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import parse
from sharpen.errors import Refused
from sharpen.memory.compose import estimated_tokens, with_memories
from sharpen.memory.keep import remember
from sharpen.memory.search import Memories
from sharpen.memory.vectors import Entry, VectorIndex
from sharpen.models.embeddings import SentenceEmbedder
from sharpen.records import Memory, Message
from sharpen.store import Store
from tests.memory.conftest import Home
from tests.memory.embedders import WordEmbedder

CASES = [json.loads(line) for line in Path(__file__).with_name("adversarial.jsonl").read_text().splitlines()]
IDS = [f"{case['mechanism']} {number}" for number, case in enumerate(CASES)]
TEXTS = [case for case in CASES if case["field"] == "text"]
MARKS = ("<|", "</s>", "[INST]", "<<SYS>>", "<end_of_turn>", "<\uff5c")
SECRET = "the launch code of them"


def value_of(case: dict[str, Any]) -> Any:
    return case["value"] * case["times"] if "times" in case else case["value"]


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def test_there_are_enough_cases_and_no_mechanism_fills_the_file() -> None:
    counts = Counter(case["mechanism"] for case in CASES)
    assert len(CASES) >= 150
    assert max(counts.values()) <= 5
    assert len({json.dumps([case["field"], case["value"]]) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_case_is_kept_as_data_and_steers_nothing(case: dict[str, Any], sqlite_store: Store, tmp_path: Path) -> None:
    value, started = value_of(case), time.monotonic()
    name = value if case["field"] == "tenant" else "us"
    config = {"home": str(tmp_path), "memory": {"vectors": "qdrant"}}

    def index(tenant: str) -> VectorIndex:
        return VectorIndex.of(parse(config), WordEmbedder(), tenant=tenant)

    theirs = index("them" if case["field"] != "tenant" else "us")
    theirs.upsert([Entry("theirs", SECRET, "example", "trc_1"), Entry("mem_1", SECRET, "lesson", "trc_1")])
    theirs.close()
    ours = index(name)
    ours.upsert([Entry("mem_1", "where is my parcel", "example", "trc_1"), Entry("mem_2", "a lamp", "score", "trc_2")])

    if case["field"] in ("about", "type", "good"):
        where = {case["field"]: value}
        if case["field"] == "about" and isinstance(value, str):
            assert ours.search(SECRET, 10, about=value) == []  # equal to no record's id, so nothing is found
        else:
            with pytest.raises(Refused):
                ours.search(SECRET, 10, **where)
    elif case["field"] == "id":
        ours.upsert([Entry(value, "ours", "example", "trc_3")])
        ours.delete([value])
        assert {hit.id for hit in ours.search(SECRET, 10)} == {"mem_1", "mem_2"}
    elif case["field"] == "text":
        memory = remember(sqlite_store, ask(value), value, ["trc_9"], tenant="us", rejected=value, reason=value)
        assert sqlite_store.get(Memory, memory.id).reply == value  # the truth holds every character
        memories = Memories(sqlite_store, tenant="us", by="hybrid", index=ours)
        memories.add([memory])
        found = memories.search(value, 5)
        assert {one.memory.tenant for one in found} <= {"us"}
        composed = with_memories(ask("Where is my parcel?"), [memory], 2_000)[0].content
        _assert_is_data(composed)
    assert {hit.id for hit in ours.search(SECRET, 10)} >= {"mem_1", "mem_2"}
    assert "theirs" not in {hit.id for hit in ours.search(SECRET, 10)}
    ours.close()
    theirs = index("them" if case["field"] != "tenant" else "us")
    assert {hit.id for hit in theirs.search(SECRET, 10)} == {"theirs", "mem_1"}
    theirs.close()
    assert time.monotonic() - started < 20


def _assert_is_data(composed: str) -> None:
    """Check that every line of a memory stands behind our sign, and that nothing in it divides a conversation."""
    if "[notes " not in composed:
        assert composed == "Where is my parcel?"  # it did not fit, as a whole
        return
    lines = composed.split("\n")
    [first, last] = [place for place, line in enumerate(lines) if re.fullmatch(r"\[notes [0-9a-f]{12}\]", line)]
    assert lines[first] == lines[last]
    assert lines[last + 1 :] == ["", "Where is my parcel?"]
    inside = lines[first + 1 : last]
    assert all(line == ">" or line.startswith(("> ", ">> ")) for line in inside)
    assert [line for line in inside if line.startswith("> ")] in (
        ["> question:", "> a good answer:", "> a bad answer:", "> why:"],
        [],
    )
    text = "\n".join(inside)
    assert not re.search(r"<[|\uff5c][^<>\n]{1,64}[|\uff5c]>|</?s>|\[/?INST\]|<<SYS>>|<end_of_turn>", text)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\U000e0000-\U000e0fff]", text)
    assert len(text.splitlines()) == len(inside)
    text.encode("utf-8")
    assert estimated_tokens(composed) <= 2_100


def test_every_store_takes_every_text(home: Home) -> None:
    """All texts at once, in each store: each is found again by itself, and none brings another tenant's row."""
    index = home.index()
    texts = {f"mem_{place}": value_of(case)[:20_000] for place, case in enumerate(TEXTS)}
    index.upsert([Entry(name, text, "document", name) for name, text in texts.items()])
    assert len(index) == len(texts)
    for name, text in texts.items():
        [hit] = index.search(text, 1, about=name)
        assert hit.id == name
        assert hit.score == pytest.approx(1.0, abs=1e-3)
    index.delete(list(texts))
    assert len(index) == 0


def test_the_real_embedding_model_takes_every_text(tmp_path: Path) -> None:
    embedder = SentenceEmbedder()
    texts = [value_of(case) for case in TEXTS]
    vectors = embedder.embed_documents(texts)
    assert [len(vector) for vector in vectors] == [384] * len(texts)
    assert all(sum(number * number for number in vector) == pytest.approx(1.0, abs=1e-3) for vector in vectors)
