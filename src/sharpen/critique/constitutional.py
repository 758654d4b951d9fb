"""Constitutional critique: hold the answer against each principle, and revise it by each one that it breaks.

In: items, and a constitution. Out: the same items, with an issue per breach, each followed by a revision. Must not know
the store, or where the principles come from.

All principles look at one answer in one batch; they share their prompts up to the principle. Revisions follow one by
one, each on top of the last. A round ends with a new look at the principles that were broken.

Source: Bai et al. 2022, Constitutional AI, arXiv:2212.08073, section 3.1 (critique and revision per principle).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sharpen.critique.constitution import Principle
from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method, Reply
from sharpen.critique.quoting import about, again
from sharpen.critique.reading import approval, issue, rejection, revised

CRITIQUE = "{question} Reply with Yes or No, then say why in one sentence and quote the words that show it."
REVISE = "{revision} Write the whole improved answer and nothing else."
CRITIQUE_TOKENS = 64  # chosen: a yes or no, a sentence and a quotation
_RANK = {"high": 0, "medium": 1, "low": 2}


@dataclass(slots=True)
class _Work:
    principles: list[Principle]  # still to be looked at
    broken: list[tuple[Principle, int]] = field(default_factory=list)  # to be revised by, with the critique's step
    is_heard: bool = False


class Constitutional(Method):
    """Critique by all principles, revise by each broken one, and look again."""

    name = "constitutional"

    def build(self, builder: Any) -> None:
        """Critique, then revise until nothing is broken, then critique again."""
        self.add(builder, "critique", self._critique)
        self.add(builder, "revise", self._revise)
        builder.add_edge("draft", "critique")
        self.loop(builder, "critique", "revise")
        builder.add_conditional_edges("revise", self._next, ["revise", "critique", "score"])

    def _next(self, state: Any) -> str:
        waiting = [item for item in state["items"] if item.open]
        if not waiting:
            return "score"
        return "revise" if any(item.work.broken for item in waiting) else "critique"

    def _critique(self, items: list[Item]) -> None:
        calls: list[tuple[Call, Principle]] = []
        for item in items:
            item.work = item.work or _Work(list(self.scene.constitution))
            item.work.is_heard = False
            if item.round >= self.rounds:
                item.close("rounds")
                continue
            item.round += 1
            for principle in item.work.principles:
                prompt = about(item.messages, item.answer, CRITIQUE.format(question=principle.question))
                calls.append((Call(item, "critique", prompt, item.answer_step, limit=CRITIQUE_TOKENS), principle))
        replies = self.ask(self.scene.critic, [call for call, _ in calls], keep=True)
        for reply, (_, principle) in zip(replies, calls, strict=True):
            if reply.step is not None and reply.text:
                self._read(reply, reply.step, principle)
        for item in items:
            work: _Work = item.work
            work.broken.sort(key=lambda pair: _RANK[pair[0].severity])
            work.principles = [principle for principle, _ in work.broken] or work.principles
            if work.is_heard and not work.broken:
                item.close("agreed")

    def _read(self, reply: Reply, step: int, principle: Principle) -> None:
        item, broken = reply.call.item, approval(reply.text)
        if broken is None:
            item.amend(step, error=f"unparsable: neither yes nor no to {principle.name}")
            return
        item.work.is_heard = True
        if broken > 0.5:
            found = issue(reply.text, item.answer, principle.severity)
            item.amend(step, issues=[found.model_copy(update={"text": f"{principle.name}: {found.text}"})])
            item.work.broken.append((principle, step))

    def _revise(self, items: list[Item]) -> None:
        """Revise each item by the worst breach that is left."""
        calls = []
        for item in items:
            if item.work.broken:
                principle, step = item.work.broken.pop(0)
                notes = [("An earlier answer", item.answer), ("A fault in it", item.steps[step].output)]
                prompt = again(item.messages, notes, REVISE.format(revision=principle.revision))
                calls.append(Call(item, "revise", prompt, step))
        for reply in self.ask(self.scene.actor, calls):
            if reply.step is None or not reply.text:
                continue
            item, answer = reply.call.item, revised(reply.text)
            fault = rejection(item.answer, answer, cut=reply.cut)
            if fault:
                item.amend(reply.step, error=f"not taken: {fault}")
            else:
                item.take(answer, reply.step)
