"""Both ways through the tree, and both ways to compare thoughts, stay within beam and depth."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from tests.critique.sums import RIGHT, Counting, expert, opened, stubborn, sum_item

from sharpen.critique import tree_of_thought
from sharpen.critique.voices import ChatVoice
from sharpen.models.engine import Request

WAYS = [(search, select) for search in ("breadth_first", "best_first") for select in ("value", "vote")]


@pytest.mark.parametrize(("search", "select"), WAYS)
def test_every_way_finds_the_answer(search: str, select: str) -> None:
    one = sum_item()
    opened("tree_of_thought", Counting(), search=search, select=select).run([one])
    assert (one.revision, one.stop_reason) == (RIGHT, "agreed")
    assert {step.name for step in one.steps} == {"think", select, "answer"}


@pytest.mark.parametrize(("search", "select"), WAYS)
@pytest.mark.parametrize(("beam", "depth"), [(1, 1), (1, 3), (3, 2)])
def test_beam_and_depth_bound_the_tree(search: str, select: str, beam: int, depth: int) -> None:
    one = sum_item()
    opened("tree_of_thought", Counting(stubborn), search=search, select=select, beam=beam, depth=depth).run([one])
    thoughts = [step for step in one.steps if step.name == "think"]
    assert 0 < len(thoughts) <= 2 * beam * depth

    def level(place: int | None) -> int:
        return 0 if place is None else level(one.steps[place].parent) + (one.steps[place].name == "think")

    assert max(level(place) for place, step in enumerate(one.steps) if step.name == "think") <= depth


def test_it_goes_on_from_the_thought_that_was_judged_best() -> None:
    def judge(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        if tree_of_thought.THINK in asked:
            return f"{'good' if request.seed % 2 else 'bad'} {request.seed}"
        if tree_of_thought.VALUE in asked:
            return "Yes" if "> good" in asked else "No"
        return "Answer: 4"

    one = sum_item()
    opened("tree_of_thought", Counting(judge), samples=8, beam=1, depth=1).run([one])
    assert one.answer_step is not None
    parent = one.steps[one.answer_step].parent
    assert parent is not None and one.steps[parent].output.startswith("good")


def test_a_chat_model_s_vote_is_read_and_an_unreadable_one_is_recorded() -> None:
    said: list[Any] = [AIMessage("I choose 2."), AIMessage("the first")]
    method = opened("tree_of_thought", Counting(expert), select="vote", depth=1)
    object.__setattr__(method.scene, "judge", ChatVoice(GenericFakeChatModel(messages=iter(said))))
    one = sum_item()
    method.run([one])
    votes = [step for step in one.steps if step.name == "vote"]
    assert [vote.error is None for vote in votes] == [True, False]
    assert one.revision == RIGHT
