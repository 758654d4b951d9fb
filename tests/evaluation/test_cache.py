from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sharpen.evaluation.answers import Answers
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.cache import GenerationCache, example_digest
from sharpen.memory.recall import Pair
from sharpen.records import Example, Message
from sharpen.store import Store
from sharpen.testing import ScriptedEngine
from sharpen.verify.cases import make_case

SECRET = "my neighbour Ann owes me money"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def example(name: str, question: str) -> Example:
    return Example(
        id=f"exa_{name}", cycle_id="c", messages=(user(question),), chosen="ok", origin="correction", evidence=("f",)
    )


def test_what_is_put_is_got_by_any_process_that_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "home" / "answers.db"
    GenerationCache(path, 1 << 20).put({"a": {"reply": "\U0001f600 \u2028"}, "b": {"logprobs": [-1.5]}}, {})
    assert GenerationCache(path, 1 << 20).get(["b", "a", "c"]) == {
        "a": {"reply": "\U0001f600 \u2028"},
        "b": {"logprobs": [-1.5]},
    }


def test_a_thousand_names_are_asked_for_at_once(tmp_path: Path) -> None:
    cache = GenerationCache(tmp_path / "answers.db", 1 << 20)
    cache.put({str(n): {"reply": str(n)} for n in range(1200)}, {})
    assert cache.get([str(n) for n in range(1300)]) == {str(n): {"reply": str(n)} for n in range(1200)}


def test_the_file_is_bounded_and_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = GenerationCache(tmp_path / "answers.db", 200_000)
    for n in range(100):
        cache.put({f"{n:02}": {"reply": "x" * 5000}}, {})
        cache.get(["00"])
    kept = cache.get([f"{n:02}" for n in range(100)])
    assert {"00", "99"} <= set(kept)
    assert "01" not in kept
    assert 20 < len(kept) <= 200_000 // 5000
    assert (tmp_path / "answers.db").stat().st_size < 2 * 200_000


def test_no_room_keeps_nothing_and_writes_no_file(tmp_path: Path) -> None:
    cache = GenerationCache(tmp_path / "answers.db", 0)
    cache.put({"a": {"reply": "b"}}, {})
    assert cache.get(["a"]) == {}
    assert not (tmp_path / "answers.db").exists()


def test_an_erased_example_takes_the_answers_it_helped_to_write_with_it(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    cache = GenerationCache(path, 1 << 20)
    sqlite_store.append(example("1", SECRET), example("2", "where is my parcel"))
    engine = ScriptedEngine(lambda request, _: f"I heard: {request.messages[0].content}")
    engine.load("v", None)
    arms = [Arm("in_context", "v", (Pair((user(text),), "ok"),)) for text in (SECRET, "where is my parcel")]
    cases = [make_case([user("question")], "r")]
    answers = Answers(engine, max_new_tokens=20, cache=cache)
    for arm in (*arms, Arm("champion", "v")):
        answers.of(arm, cases)
    assert cache.sweep(sqlite_store) == 0
    assert SECRET.encode() in path.read_bytes()
    sqlite_store.erase("exa_1")
    assert cache.sweep(sqlite_store) == 1
    assert SECRET.encode() not in path.read_bytes()
    engine.unload("v")  # only what is still kept can be answered now
    assert answers.of(arms[1], cases)[0].reply == "I heard: where is my parcel"
    assert answers.of(Arm("champion", "v"), cases)[0].reply == "I heard: question"


def test_the_prompt_itself_is_never_in_the_file(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request, _: "ok")
    engine.load("v", None)
    answers = Answers(engine, max_new_tokens=4, cache=GenerationCache(tmp_path / "answers.db", 1 << 20))
    answers.of(Arm("in_context", "v", (Pair((user(SECRET),), "yes"),)), [make_case([user("question")], "r")])
    assert b"neighbour" not in (tmp_path / "answers.db").read_bytes()


def test_a_damaged_file_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "answers.db"
    path.write_bytes(b"not a database at all" * 300)
    cache = GenerationCache(path, 1 << 20)
    cache.put({"a": {"reply": "b"}}, {})
    assert cache.get(["a"]) == {"a": {"reply": "b"}}
    assert "begins anew" in caplog.text


def test_a_file_that_cannot_be_written_costs_time_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    cache = GenerationCache(tmp_path / "home" / "answers.db", 1 << 20)
    cache.put({"a": {"reply": "b"}}, {})
    assert cache.get(["a"]) == {}
    assert "failed" in caplog.text


def test_threads_may_share_a_cache(tmp_path: Path) -> None:
    cache = GenerationCache(tmp_path / "answers.db", 1 << 20)

    def work(name: str) -> None:
        for n in range(5):
            cache.put({f"{name}{n}": {"reply": name}}, {f"{name}{n}": ["e"]})
            cache.get([f"{name}{n}"])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get([f"{name}{n}" for name in "abcd" for n in range(5)])) == 20


def test_an_examples_digest_depends_on_every_word_of_it() -> None:
    pair = Pair((user("a"),), "b")
    others = [Pair((user("b"),), "a"), Pair((user("a"), user("")), "b"), Pair((user("ab"),), "")]
    assert len({example_digest(one) for one in (pair, *others)}) == 4
