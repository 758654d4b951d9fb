from __future__ import annotations

import random

from sharpen.evaluation.arms import Arm, in_context_examples
from sharpen.memory.recall import Pair
from sharpen.records import Example, Message

SYSTEM = Message(role="system", content="Name the team.")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def example(question: str, answer: str, *, cycle: str = "c1", system: Message | None = SYSTEM) -> Example:
    messages = (system, user(question)) if system else (user(question),)
    return Example(
        id=f"exa_{cycle}_{question}",
        cycle_id=cycle,
        messages=messages,
        chosen=answer,
        origin="correction",
        evidence=("f",),
    )


INBOX = [example(f"{team} question {n}", team) for team in ("sales", "billing", "returns") for n in range(10)]


def test_every_label_is_shown_once_before_any_is_shown_twice() -> None:
    replies = [shot.reply for shot in in_context_examples(INBOX, k=6, system=SYSTEM.content)]
    assert set(replies[:3]) == set(replies[3:]) == {"sales", "billing", "returns"}


def test_the_choice_depends_on_what_is_said_not_on_order_ids_or_cycle() -> None:
    moved = [example(made.messages[-1].content, made.chosen, cycle="c9") for made in INBOX] + INBOX
    random.Random(0).shuffle(moved)
    assert in_context_examples(moved, k=7, seed=3) == in_context_examples(INBOX, k=7, seed=3)
    assert in_context_examples(INBOX, k=7, seed=4) != in_context_examples(INBOX, k=7, seed=3)


def test_examples_under_the_same_system_prompt_come_first() -> None:
    foreign = [example(f"other {n}", "sales", system=None) for n in range(30)]
    chosen = in_context_examples([*foreign, *INBOX], k=3, system=SYSTEM.content)
    assert all("question" in shot.messages[0].content for shot in chosen)
    assert all(turn.role != "system" for shot in chosen for turn in shot.messages)


def test_few_or_no_examples_give_few_or_no_shots() -> None:
    assert in_context_examples([], k=6) == ()
    assert in_context_examples(INBOX, k=0) == ()
    assert len(in_context_examples(INBOX[:2] * 3, k=6)) == 2


def test_prompts_of_one_arm_share_everything_before_the_question() -> None:
    arm = Arm("in_context", "ver_0", (Pair((user("Refund?"),), "billing"), Pair((user("Late?"),), "delivery")))
    first, second = arm.prompt([SYSTEM, user("one")]), arm.prompt([SYSTEM, user("two")])
    assert [turn.role for turn in first] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert first[:-1] == second[:-1]
    assert [turn.content for turn in (first[2], first[4], first[5])] == ["billing", "delivery", "one"]


def test_an_arm_without_examples_asks_the_case_as_it_is() -> None:
    assert Arm("champion", "ver_0").prompt([SYSTEM, user("one")]) == (SYSTEM, user("one"))
