from __future__ import annotations

import numpy as np
import pytest

from sharpen.records import Example, Message
from sharpen.verify.cases import make_case
from sharpen.verify.contamination import canary, canary_hits, contamination, exposure, marked

LONG = "A farmer has seventeen sheep and buys twenty more at the market, then sells nine of them: how many are left?"


def learned(prompt: str, chosen: str = "yes", system: str | None = None) -> Example:
    messages = ([Message(role="system", content=system)] if system else []) + [Message(role="user", content=prompt)]
    return Example(
        id=f"exa_{hash((prompt, chosen))}", cycle_id="c", messages=tuple(messages), chosen=chosen, origin="correction",
        evidence=("fbk_1",),
    )  # fmt: skip


def asked(prompt: str, tier: str = "gate", system: str | None = None):  # type: ignore[no-untyped-def]
    messages = ([Message(role="system", content=system)] if system else []) + [Message(role="user", content=prompt)]
    return make_case(messages, "x", tier=tier)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("example", "runs", "near"),
    [
        (learned(LONG), 1, 1),
        (learned(LONG.replace("seventeen", "eighteen")), 1, 1),
        (learned("Something else entirely.", chosen=f"I once read: {LONG.upper()} Easy."), 1, 0),
        (learned("How many sheep does the farmer with seventeen sheep have?"), 0, 0),
        (learned("What is the capital of France?"), 0, 0),
    ],
    ids=["copy", "one word changed", "in an answer", "same topic", "other"],
)
def test_a_leak_is_found_and_a_shared_topic_is_none(example: Example, runs: int, near: int) -> None:
    found = contamination([example, learned("Good morning!")], "sheep", [asked(LONG)])
    assert (found.runs, found.near_duplicates) == (runs, near)
    assert found.share == float(bool(runs or near))
    assert found.example_ids == ((example.id,) if runs or near else ())


def test_short_questions_are_found_whole_and_phrases_are_not() -> None:
    question = "What is the capital of France?"
    assert contamination([learned("Quiz: what is the capital of france? Hurry.")], "s", [asked(question)]).runs == 1
    assert contamination([learned("17 + 8 is hard, so is 3 + 9")], "s", [asked("7 + 8")]).case_ids == ()
    assert contamination([learned("7 + 8")], "s", [asked("7 + 8")]).near_duplicates == 1


def test_what_training_may_see_is_no_leak_and_system_prompts_do_not_count() -> None:
    system = "You sort messages of customers into one of the following five departments and say nothing else at all."
    assert contamination([learned(LONG)], "s", [asked(LONG, tier="train")]).cases == 0
    assert contamination([learned("Hello?", system=system)], "s", [asked("My parcel?", system=system)]).share == 0


def test_the_words_of_a_template_are_no_leak() -> None:
    template = "Read the following message of a customer and decide which of our departments should answer it: item {}"
    cases = [asked(template.format(f"{word} arrived broken")) for word in "abcdefghijklmnop"]
    found = contamination([learned(template.format("where is my bill"))], "s", cases)
    assert found.runs == 0


def test_a_thousand_clean_examples_raise_no_alarm_and_one_planted_leak_does() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"word{i}" for i in range(500)]

    def sentence() -> str:
        return " ".join(rng.choice(vocabulary, 20))

    cases = [asked(sentence()) for _ in range(200)]
    examples = [learned(sentence()) for _ in range(1000)]
    assert contamination(examples, "s", cases).case_ids == ()
    leaked = cases[7].messages[-1].content
    assert contamination([*examples, learned(leaked)], "s", cases).case_ids == (cases[7].id,)


def test_a_canary_marks_what_is_published_and_is_found_again() -> None:
    mark = canary("sheep", b"key")
    [copy] = marked([asked(LONG)], mark)
    assert copy.id == asked(LONG).id
    assert copy.messages[-1].content == f"{LONG}\n\n{mark}"
    assert canary_hits(["clean", f"prefix {mark.upper().replace(' ', chr(10))} suffix", "sharpen-canary 00"], mark) == [
        1
    ]
    assert canary("sheep", b"other") != mark


def test_exposure_is_high_for_what_was_memorised_and_nothing_for_what_was_not() -> None:
    others = np.random.default_rng(1).normal(-50, 5, 1023).tolist()
    assert exposure(-5.0, others) == 10.0
    assert exposure(-50.0, others) < 2.0
    assert exposure(-80.0, others) == 0.0
