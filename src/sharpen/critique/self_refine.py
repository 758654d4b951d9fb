"""Draft, critique, revise, check: the model reviews its answer and mends it, and each revision is checked for errors.

In: items. Out: the same items, with the faults that were found and the last revision that held. Must not know the
store.

Two reviewers look: one that needs no model (sums that do not add up), and the critic. A revision that is empty, cut
off, unchanged, or wrong in a sum that was right before is not taken.

Source: Madaan et al. 2023, Self-Refine, arXiv:2303.17651, algorithm 1.
"""

from __future__ import annotations

from typing import Any

from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method
from sharpen.critique.quoting import about, again
from sharpen.critique.reading import issues, rejection, revised, wrong_sums

CRITIQUE = (
    "List the faults of the proposed answer, one per line, each beginning with '- ' and its severity (low, medium or "
    "high). Quote the words that are wrong. If there are none, write 'No issues'."
)
REVISE = "Correct these faults. Write the whole improved answer and nothing else."


class SelfRefine(Method):
    """Critique, revise and check in turns."""

    name = "self_refine"

    def build(self, builder: Any) -> None:
        """Critique, revise, check."""
        self.add(builder, "critique", self._critique)
        self.add(builder, "revise", self._revise)
        self.add(builder, "check", self._check)
        builder.add_edge("draft", "critique")
        self.loop(builder, "critique", "revise")
        builder.add_edge("revise", "check")
        builder.add_edge("check", "critique")

    def _critique(self, items: list[Item]) -> None:
        """Collect what is wrong; an item without a fault is done, one whose critic cannot be read is asked again."""
        for item in items:
            item.work = []
            if item.round >= self.rounds:
                item.close("rounds")
                continue
            item.round += 1
            if sums := wrong_sums(item.answer):
                told = "; ".join(one.evidence for one in sums)
                item.work.append(item.note("check", told, parent=item.answer_step, issues=sums))
        waiting = [item for item in items if item.open]
        calls = [Call(one, "critique", about(one.messages, one.answer, CRITIQUE), one.answer_step) for one in waiting]
        for reply in self.ask(self.scene.critic, calls, keep=True):
            if reply.step is None or not reply.text:
                continue
            item, found = reply.call.item, issues(reply.text, reply.call.item.answer)
            if found is None:
                item.amend(reply.step, error="unparsable: not a review")
            elif found:
                item.amend(reply.step, issues=found)
                item.work.append(reply.step)
            elif not item.work:
                item.close("agreed")

    def _revise(self, items: list[Item]) -> None:
        calls = []
        for item in items:
            if item.work:
                faults = [f"{one.text} ({one.evidence})" for place in item.work for one in item.steps[place].issues]
                notes = [("An earlier answer", item.answer), ("Faults in it", "\n".join(faults))]
                calls.append(Call(item, "revise", again(item.messages, notes, REVISE), item.work[-1]))
        for item in items:
            item.work = None
        for reply in self.ask(self.scene.actor, calls):
            if reply.step is not None and reply.text:
                reply.call.item.work = reply

    def _check(self, items: list[Item]) -> None:
        """Take the revisions that hold."""
        for item in items:
            reply = item.work
            if reply is None:
                continue
            answer = revised(reply.text)
            fault = rejection(item.answer, answer, cut=reply.cut)
            if fault:
                item.note("check", "", parent=reply.step, error=f"not taken: {fault}")
            else:
                item.take(answer, reply.step)
