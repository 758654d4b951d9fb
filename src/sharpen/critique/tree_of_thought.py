"""Tree of thoughts: think several ways at once, judge the ways, and go on from the best.

In: items. Out: the same items, each with a tree of thoughts and the answer at the end of the best one. Must not know
the store. Meant for questions with a short answer.

Breadth-first keeps the best `beam` thoughts of each level; best-first opens the best thought anywhere, at most
`beam * depth` times. Thoughts are valued one by one, or voted on against each other with the order turned each time.

Source: Yao et al. 2023, Tree of Thoughts, arXiv:2305.10601, algorithm 1 (breadth-first); best-first in place of its
depth-first algorithm 2: Pearl 1984, Heuristics, ch. 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method
from sharpen.critique.quoting import RULE, again, quoted, shown
from sharpen.critique.reading import final_answer, same_answer
from sharpen.records import Issue, Message

THINK = "Write the next thought on the way to the answer, in one or two sentences."
VALUE = "Does this reasoning lead to the right answer? Reply with Yes or No."
VOTE = "Which of these is the best next thought? Reply with its number alone."
ANSWER = "Use these thoughts. Write a line 'Answer:' followed by the answer alone."
MOST_VOTES = 4  # chosen: enough turns of the order for its influence to even out


@dataclass(slots=True, eq=False)
class _Thought:
    text: str
    step: int | None = None
    above: _Thought | None = None
    depth: int = 0
    value: float | None = None
    is_open: bool = True

    @property
    def path(self) -> str:
        """The thoughts from the root to this one, a line each."""
        before = self.above.path if self.above else ""
        return f"{before}\n{self.text}".strip()


@dataclass(slots=True)
class _Tree:
    thoughts: list[_Thought] = field(default_factory=lambda: [_Thought("")])
    fresh: list[_Thought] = field(default_factory=list)
    opened: int = 0
    is_grown: bool = False


class TreeOfThought(Method):
    """Propose, judge and select in turns, then answer."""

    name = "tree_of_thought"

    def build(self, builder: Any) -> None:
        """Propose, judge, and go on or answer."""
        self.add(builder, "propose", self._propose)
        self.add(builder, "judge", self._judge)
        self.add(builder, "answer", self._answer)
        builder.add_edge("draft", "propose")
        builder.add_edge("propose", "judge")
        builder.add_conditional_edges("judge", self._next, ["propose", "answer"])
        builder.add_edge("answer", "score")

    def _next(self, state: Any) -> str:
        return "propose" if any(item.open and not item.work.is_grown for item in state["items"]) else "answer"

    def _frontier(self, tree: _Tree) -> list[_Thought]:
        """Return the thoughts to go on from; nothing where the tree is grown."""
        limit = self.settings.beam * self.settings.depth
        waiting = [one for one in tree.thoughts if one.is_open]
        if self.settings.search == "best_first":
            best = _best(waiting)
            return [] if best is None or best.depth >= self.settings.depth or tree.opened >= limit else [best]
        # Only the deepest level goes on: what the beam left behind stays behind.
        deepest = max(one.depth for one in tree.thoughts)
        level = sorted((one for one in waiting if one.depth == deepest < self.settings.depth), key=_worth, reverse=True)
        return level[: self.settings.beam]

    def _propose(self, items: list[Item]) -> None:
        calls: list[Call] = []
        above: list[_Thought] = []
        for item in items:
            item.work = item.work or _Tree()
            tree: _Tree = item.work
            tree.fresh = []
            frontier = [] if tree.is_grown or self.rounds == 0 else self._frontier(tree)
            tree.is_grown = not frontier
            for thought in frontier:
                thought.is_open = False
                tree.opened += 1
                notes = [("Thoughts so far", thought.path)] if thought.path else []
                prompt = again(item.messages, notes, THINK)
                warmth = self.settings.temperature if self.samples > 1 else 0.0
                calls += [Call(item, "think", prompt, thought.step, warmth) for _ in range(self.samples)]
                above += [thought] * self.samples
        for reply, thought in zip(self.ask(self.scene.actor, calls, keep=True), above, strict=True):
            tree = reply.call.item.work
            seen = {one.text for one in tree.fresh if one.above is thought}
            if reply.step is not None and reply.text and reply.text not in seen:
                tree.fresh.append(_Thought(reply.text, reply.step, thought, thought.depth + 1))

    def _judge(self, items: list[Item]) -> None:
        if self.settings.select == "vote":
            self._vote(items)
        else:
            pairs = [(item, thought) for item in items for thought in item.work.fresh]
            calls = [Call(item, "value", _shown(item, [one], VALUE), one.step) for item, one in pairs]
            for (_, thought), value in zip(pairs, self.judge(calls), strict=True):
                thought.value = value
        for item in items:
            item.work.thoughts += item.work.fresh
            item.work.is_grown = item.work.is_grown or not self._frontier(item.work)

    def _vote(self, items: list[Item]) -> None:
        """Put the fresh thoughts of an item against each other; each vote sees them in another order."""
        ballots: list[tuple[Item, list[_Thought]]] = []
        for item in items:
            fresh: list[_Thought] = item.work.fresh
            turns = range(0, len(fresh), max(1, math.ceil(len(fresh) / MOST_VOTES)))
            ballots += [(item, fresh[turn:] + fresh[:turn]) for turn in turns] if len(fresh) > 1 else []
            for thought in fresh:
                thought.value = 0.0 if len(fresh) > 1 else 1.0
        calls = [Call(item, "vote", _shown(item, order, VOTE), order[0].above.step if order[0].above else None)
                 for item, order in ballots]  # fmt: skip
        numbers = [[str(place + 1) for place in range(len(order))] for _, order in ballots]
        for (item, order), shares in zip(ballots, self.choose(calls, numbers), strict=True):
            votes = sum(one is item for one, _ in ballots)
            for thought, share in zip(order, shares or [], strict=bool(shares)):
                thought.value = (thought.value or 0.0) + share / votes

    def _answer(self, items: list[Item]) -> None:
        """Ask for the answer at the end of the best path."""
        calls = []
        for item in items:
            best = _best([one for one in item.work.thoughts if one.depth])
            if best is None:
                item.close("rounds")
                continue
            calls.append(Call(item, "answer", again(item.messages, [("Thoughts", best.path)], ANSWER), best.step))
        for reply in self.ask(self.scene.actor, calls):
            item = reply.call.item
            if reply.step is None or not reply.text:
                continue
            answer, draft = final_answer(reply.text, item.choices), item.draft or ""
            if answer is None:
                item.amend(reply.step, error="unparsable: it ends without an answer")
                continue
            if same_answer(final_answer(draft, item.choices) or draft) == same_answer(answer):
                item.take(draft, None)
            else:
                evidence = item.steps[reply.call.parent].output if reply.call.parent is not None else ""
                found = Issue(text="The best line of thought ends elsewhere.", severity="medium", evidence=evidence)
                item.amend(reply.step, issues=[found])
                item.take(answer, reply.step)
            item.close("agreed")


def _worth(thought: _Thought) -> tuple[float, int]:
    """Order by the judge's value, then by depth; what could not be judged comes last."""
    return (-1.0 if thought.value is None else thought.value, thought.depth)


def _best(thoughts: Sequence[_Thought]) -> _Thought | None:
    return max(thoughts, key=_worth, default=None)


def _shown(item: Item, thoughts: Sequence[_Thought], instruction: str) -> tuple[Message, ...]:
    """Return the judge's prompt: the question and the path first, what differs last."""
    path = thoughts[0].above.path if thoughts[0].above else ""
    head = f"Question:\n{shown(item.messages)}" + (f"\n\nThoughts so far:\n{quoted(path)}" if path else "")
    listed = "\n".join(f"{place}.\n{quoted(one.text)}" for place, one in enumerate(thoughts, 1))
    body = f"{head}\n\n{listed if len(thoughts) > 1 else quoted(thoughts[0].text)}\n\n{instruction}"
    return Message(role="system", content=RULE), Message(role="user", content=body)
