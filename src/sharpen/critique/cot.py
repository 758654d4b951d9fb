"""Chain of thought with self-consistency: think several times, and take the answer that most chains end with.

In: items. Out: the same items, each with the chains, their vote, and an issue where the vote goes against the answer.
Must not know the store. Meant for questions with a short answer.

Source: chain of thought, Wei et al. 2022, arXiv:2201.11903; self-consistency, Wang et al. 2022, arXiv:2203.11171.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple

from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method
from sharpen.critique.quoting import again
from sharpen.critique.reading import final_answer, same_answer
from sharpen.records import Issue

THINK = "Think step by step, in a few short steps. End with a line 'Answer:' followed by the answer alone."
CLEAR_SHARE = 2 / 3  # chosen: twice as many chains for an answer as against it


class _Vote(NamedTuple):
    key: str | Fraction
    answer: str
    step: int


class ChainOfThought(Method):
    """Sample chains, vote, and sample more while the vote is a tie."""

    name = "cot"

    def build(self, builder: Any) -> None:
        """Reason and vote in turns."""
        self.add(builder, "reason", self._reason)
        self.add(builder, "vote", self._vote)
        builder.add_edge("draft", "reason")
        builder.add_edge("reason", "vote")
        self.loop(builder, "vote", "reason")

    def _reason(self, items: list[Item]) -> None:
        calls = []
        for item in items:
            item.work = item.work or []
            if item.round >= self.rounds:
                item.close("rounds")
                continue
            item.round += 1
            prompt = again(item.messages, [], THINK)
            warmth = self.settings.temperature if self.samples > 1 else 0.0
            calls += [Call(item, "reason", prompt, temperature=warmth) for _ in range(self.samples)]
        for reply in self.ask(self.scene.actor, calls):
            if reply.step is None or not reply.text:
                continue
            item = reply.call.item
            answer = final_answer(reply.text, item.choices)
            if answer is None:
                item.amend(reply.step, error="unparsable: it ends without an answer")
            else:
                item.work.append(_Vote(same_answer(answer), answer, reply.step))

    def _vote(self, items: list[Item]) -> None:
        for item in items:
            votes: list[_Vote] = item.work
            ranked = Counter(vote.key for vote in votes).most_common(2)
            if not ranked:
                continue
            key, count = ranked[0]
            first = next(vote for vote in votes if vote.key == key)
            draft = item.draft or ""
            stands = key == same_answer(final_answer(draft, item.choices) or draft)
            told = f"{count} of {len(votes)} chains end with: {first.answer}"
            severity = "high" if count / len(votes) >= CLEAR_SHARE else "medium"
            against = Issue(text="Chains of thought end with another answer.", severity=severity, evidence=told)
            item.note("vote", told, parent=first.step, issues=() if stands else [against], score=count / len(votes))
            item.take(draft if stands else first.answer, None if stands else first.step)
            if len(ranked) == 1 or count > ranked[1][1]:
                item.close("agreed")
