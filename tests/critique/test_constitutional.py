"""Many critics of one answer share the beginning of their prompts."""

from __future__ import annotations

from tests.critique.sums import PRINCIPLES, Counting, opened, sum_item


def test_the_prompts_of_all_principles_are_alike_up_to_the_principle() -> None:
    engine = Counting()
    opened("constitutional", engine).run([sum_item()])
    first = engine.asked[: len(PRINCIPLES)]
    assert len({request.messages[0] for request in first}) == 1
    texts = [request.messages[-1].content for request in first]
    assert all(text.startswith("Question:\n> What is 2 + 2?\n\nProposed answer:\n> 5\n\n") for text in texts)
    assert [any(principle.question in text for text in texts) for principle in PRINCIPLES] == [True] * len(PRINCIPLES)


def test_each_breach_has_its_own_revision() -> None:
    one = sum_item()
    opened("constitutional", Counting()).run([one])
    breaches = [place for place, step in enumerate(one.steps) if step.issues]
    assert len(breaches) == len(PRINCIPLES)
    assert {one.steps[place].issues[0].text.partition(":")[0] for place in breaches} == {p.name for p in PRINCIPLES}
    assert [step.parent for step in one.steps if step.name == "revise"] == breaches
