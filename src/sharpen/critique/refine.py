"""Draft, verify, revise: look for an answer that the verifier accepts, in an order of its own.

In: items with a draft and something that can verify. Out: the same items, each with a verified revision, or the reason
why there is none. Must not know the store.

Plain samples of a small model contain almost nothing to learn from: on six-label routing 0 of 1,152 samples at
temperature 1 were exact. So a revision is looked for in an order of its own: read the answer out of the draft, ask
again with verified examples in the prompt (while there is none, take the likeliest of the declared choices), ask again
with others at a low temperature; for a trace with a correction, show the correction as a hint and let the model find
its own way there (STaR's rationalisation).

Source: Self-Refine, Madaan et al. 2023 (the loop); STaR, Zelikman et al. 2022 (verify, rationalise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import Call, Method
from sharpen.critique.reading import named_choice
from sharpen.memory.recall import with_examples
from sharpen.records import Message


@dataclass(slots=True)
class _Search:
    """What is not verified yet, as (answer, step); and what was."""

    candidates: list[tuple[str, int]] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)


class Refine(Method):
    """Search with a verifier."""

    name = "refine"
    needs_verifier = True

    def build(self, builder: Any) -> None:
        """Verify and revise in turns."""
        self.add(builder, "extract", self._extract)
        self.add(builder, "verify", self._verify)
        self.add(builder, "revise", self._revise)
        builder.add_edge("draft", "extract")
        builder.add_edge("extract", "verify")
        self.loop(builder, "verify", "revise")
        builder.add_edge("revise", "verify")

    def _extract(self, items: list[Item]) -> None:
        """Take what can be read out of the served answer as the first candidate."""
        for item in items:
            item.work = search = _Search(tried={item.answer})
            named = named_choice(item.answer, item.choices)
            if named is not None and named != item.answer:
                search.candidates.append((named, item.note("extract", named)))

    def _verify(self, items: list[Item]) -> None:
        """Score what is new; end the search where it is right, or where the rounds are used up."""
        for item in items:
            search: _Search = item.work
            for answer, step in search.candidates:
                if item.open and answer not in search.tried:
                    search.tried.add(answer)
                    score = self.scored(item, answer)
                    item.steps[step] = item.steps[step].model_copy(update={"verified": score})
                    if (score or 0.0) >= ACCEPTED:
                        item.take(answer, step)
                        item.close("verified")
            search.candidates = []
            if item.round >= self.rounds:
                item.close("rounds")

    def _revise(self, items: list[Item]) -> None:
        """Ask again, with examples; all items in one batch."""
        self._choose([item for item in items if item.choices and item.correction is None and item.round == 0])
        for item in items:
            item.round += 1
        for reply in self.ask(self.scene.actor, [call for item in items for call in self._calls(item)]):
            if reply.text and reply.step is not None:
                reply.call.item.work.candidates.append((reply.text, reply.step))

    def _choose(self, lost: Sequence[Item]) -> None:
        """Without any example to show, take the likeliest of the declared choices: a first answer in the right form."""
        if len(self.scene.recall) or not lost:
            return
        rows = self.scene.actor.prefer([item.messages for item in lost], [item.choices for item in lost]) or []
        for item, row in zip(lost, rows, strict=False):
            if not any(map(math.isnan, row)):
                likeliest = item.choices[max(range(len(row)), key=row.__getitem__)]
                item.work.candidates.append((likeliest, item.note("choose", likeliest)))

    def _calls(self, item: Item) -> list[Call]:
        """Return what to ask for one item in this round: first greedily, later by low-temperature samples."""
        limit = self.settings.max_new_tokens
        if item.correction is not None:
            # The person has said what is right; one hinted try shows whether the model can get there in its own words.
            return [Call(item, "hint", _hinted(item), limit=limit)] if item.round == 1 else []
        if item.round == 1:
            return [Call(item, "recall", self._with_examples(item, diverse=False), limit=limit)]
        prompt = self._with_examples(item, diverse=item.round % 2 == 1)
        warmth = self.settings.temperature
        return [Call(item, "revise", prompt, temperature=warmth, limit=limit) for _ in range(self.samples)]

    def _with_examples(self, item: Item, *, diverse: bool) -> Sequence[Message]:
        """Put verified examples before the question: one of each answer, or the ones most like it."""
        count, recall = self.settings.examples, self.scene.recall
        return with_examples(
            item.messages, recall.diverse(count) if diverse else recall.nearest(item.messages, count)[::-1]
        )


def _hinted(item: Item) -> list[Message]:
    """Show the right answer beside the question; the hint is not part of what is learned."""
    *before, last = item.messages
    return [*before, Message(role=last.role, content=f"{last.content}\n\n(The right answer is: {item.correction})")]
