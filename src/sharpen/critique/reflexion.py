"""Reflexion: where an answer is not accepted, say in words why, and try again with that in mind.

In: items, with the reflections of earlier cycles. Out: the same items; their new reflections are steps named "reflect",
which the next try of the same trace is shown. Must not know the store.

The evaluator is the verifier where the item has one (a training case, a correction), and otherwise the judge; then the
answer that the judge was surest of is kept.

Source: Shinn et al. 2023, Reflexion, arXiv:2303.11366.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import JUDGE, Call, Method
from sharpen.critique.quoting import about, again
from sharpen.critique.reading import revised
from sharpen.records import Issue

REFLECT = (
    "This answer was not accepted. Say in one or two sentences what is wrong with it and what to do differently next "
    "time. Do not give the answer itself."
)
RETRY = "Answer the question. Write the answer and nothing else."


@dataclass(slots=True)
class _Trial:
    answer: str
    step: int | None
    lessons: list[str] = field(default_factory=list)
    best: tuple[float, str, int | None] | None = None  # the judge's value, the answer, its step


class Reflexion(Method):
    """Evaluate, reflect and retry in turns."""

    name = "reflexion"

    def build(self, builder: Any) -> None:
        """Evaluate, reflect, retry."""
        self.add(builder, "evaluate", self._evaluate)
        self.add(builder, "reflect", self._reflect)
        self.add(builder, "retry", self._retry)
        builder.add_edge("draft", "evaluate")
        self.loop(builder, "evaluate", "reflect")
        builder.add_edge("reflect", "retry")
        builder.add_edge("retry", "evaluate")

    def _evaluate(self, items: list[Item]) -> None:
        unknown: list[Item] = []
        for item in items:
            item.work = item.work or _Trial(item.answer, None, list(item.remembered))
            trial: _Trial = item.work
            value = self.scored(item, trial.answer)
            if value is None and item.open:
                unknown.append(item)
            elif value is not None:
                item.note("evaluate", f"the verifier gave {value:g}", parent=trial.step)
                self._weigh(item, value, "verified", value >= ACCEPTED)
        calls = [Call(one, "judge", about(one.messages, one.work.answer, JUDGE), one.work.step) for one in unknown]
        for item, sure in zip(unknown, self.judge(calls), strict=True):
            if sure is not None:
                self._weigh(item, sure, "agreed", sure > 0.5)
        for item in items:
            if item.round >= self.rounds:
                item.close("rounds")

    def _weigh(self, item: Item, value: float, reason: str, is_accepted: bool) -> None:
        """Keep the answer where it is the best so far, and stop where it is accepted."""
        trial: _Trial = item.work
        if trial.best is None or value > trial.best[0]:
            trial.best = value, trial.answer, trial.step
            item.take(trial.answer, trial.step)
        if is_accepted:
            item.close(reason)

    def _reflect(self, items: list[Item]) -> None:
        calls = [Call(one, "reflect", about(one.messages, one.work.answer, REFLECT), one.work.step) for one in items]
        for reply in self.ask(self.scene.critic, calls, keep=True):
            if reply.step is not None and reply.text:
                item = reply.call.item
                item.work.lessons.append(reply.text)
                item.amend(reply.step, issues=[Issue(text=reply.text[:1000], severity="medium")])

    def _retry(self, items: list[Item]) -> None:
        calls = []
        for item in items:
            item.round += 1
            notes = [("Lessons from earlier tries", "\n".join(item.work.lessons))] if item.work.lessons else []
            warmth = 0.0 if item.round == 1 else self.settings.temperature
            calls.append(Call(item, "retry", again(item.messages, notes, RETRY), item.work.step, warmth))
        for reply in self.ask(self.scene.actor, calls):
            if re.search(r"\w", answer := revised(reply.text)):
                reply.call.item.work.answer, reply.call.item.work.step = answer, reply.step
