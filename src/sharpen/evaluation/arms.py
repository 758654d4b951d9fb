"""Who answers: a version, and what stands in its prompt before the question.

In: versions, training examples. Out: `Arm`, prompts. Must not know scores or engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sharpen.memory.recall import Pair, Recall, with_examples
from sharpen.models.engine import Prompt
from sharpen.records import Example, Message, content_hash

CHAMPION, CHALLENGER, IN_CONTEXT = "champion", "challenger", "in_context"
BASE, FIRST = "base", "first"  # the bare weights; the version that was deployed first, which no cycle may drift below


@dataclass(frozen=True)
class Arm:
    """A named way to answer: a version, and examples before the question; none is zero-shot.

    `context` stands before every question; with a `recall`, each question gets the `k` examples most like it.
    """

    name: str
    version_id: str
    context: tuple[Pair, ...] = ()
    recall: Recall | None = None
    k: int = 0

    def examples(self, messages: Prompt) -> list[Pair]:
        """Return the examples that stand before this question, the most like it last."""
        nearest = self.recall.nearest(messages, self.k)[::-1] if self.recall else []
        return [*self.context, *nearest]

    def prompt(self, messages: Prompt) -> tuple[Message, ...]:
        """Return the case's prompt with the examples as earlier turns, next to the question."""
        return with_examples(messages, self.examples(messages))


def in_context_examples(
    examples: Iterable[Example], *, k: int, system: str | None = None, seed: int = 0
) -> tuple[Pair, ...]:
    """Choose at most `k` examples, one per distinct answer in turn, so that every label is shown before any twice.

    Examples that carry the system prompt `system` come before others; system messages are left out of the shots. The
    choice depends on what the examples say, on `k` and on `seed`, never on their order or ids.
    """
    shots: dict[str, tuple[bool, Pair]] = {}
    for example in examples:
        if example.chosen is None:
            continue  # only says what not to answer
        own = "\n".join(message.content for message in example.messages if message.role == "system")
        turns = tuple(message for message in example.messages if message.role != "system")
        rank = content_hash([seed, [turn.model_dump() for turn in turns], example.chosen])
        is_foreign = own != (system or "")
        if rank not in shots or not is_foreign:
            shots[rank] = (is_foreign, Pair(turns, example.chosen))
    answers: dict[str, list[Pair]] = {}
    for _, (_, shot) in sorted(shots.items(), key=lambda item: (item[1][0], item[0])):
        answers.setdefault(shot.reply.strip(), []).append(shot)
    groups = sorted(answers.items(), key=lambda item: content_hash([seed, item[0]]))
    return _round_robin([group for _, group in groups], k)


def _round_robin(groups: Sequence[Sequence[Pair]], k: int) -> tuple[Pair, ...]:
    longest = max((len(group) for group in groups), default=0)
    turns = [group[turn] for turn in range(longest) for group in groups if turn < len(group)]
    return tuple(turns[:k])
