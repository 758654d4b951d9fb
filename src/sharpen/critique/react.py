"""ReAct: think, use a tool, look at what it says, and think again, until there is an answer.

In: items, and tools by name. Out: the same items, each with its thoughts and what the tools said. Must not know the
store, or how a tool works. Meant for questions with a short answer.

Source: Yao et al. 2022, ReAct, arXiv:2210.03629.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method, Reply
from sharpen.critique.quoting import again
from sharpen.critique.reading import final_answer, same_answer
from sharpen.records import Issue

SHOWN_CHARS = 500  # chosen: what of a tool's output fits beside a question in a small context
_USES = {
    "calculator": "an expression such as (3 + 4) * 2",
    "memory": "a question; shows answers that were right before",
    "knowledge": "a concept; shows what is known of it",
    "python": "a program that prints what you want to know",
}
_ACTION = re.compile(
    r"action\s*:\s*[*`_]*(?P<tool>[A-Za-z_]+)[*`_]*\s*"
    r"(?:\[(?P<inside>.*)\]|(?<=[\w`*])\((?P<round>.*)\)|\n?\s*(?:action\s+)?input\s*:\s*(?P<below>.*)|:?\s*(?P<rest>[^\n]*))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(slots=True)
class _Work:
    notes: list[str] = field(default_factory=list)
    last: int | None = None  # the step that the next one follows from
    said: str = ""  # by the last tool
    waiting: tuple[str, str] | None = None  # tool and input


class React(Method):
    """Thoughts and tools in turns."""

    name = "react"

    def build(self, builder: Any) -> None:
        """Think and act in turns."""
        self.add(builder, "think", self._think)
        self.add(builder, "act", self._act)
        builder.add_edge("draft", "think")
        self.loop(builder, "think", "act")
        builder.add_edge("act", "think")

    def _think(self, items: list[Item]) -> None:
        calls = []
        for item in items:
            item.work = item.work or _Work()
            if item.round >= self.rounds:
                item.close("rounds")
                continue
            item.round += 1
            notes = [("Your work so far", "\n".join(item.work.notes))] if item.work.notes else []
            instruction = self._instruction(is_last=item.round == self.rounds)
            calls.append(
                Call(item, "think", again(item.messages, notes, instruction), item.work.last, stop=("Observation:",))
            )
        for reply in self.ask(self.scene.actor, calls, keep=True):
            if reply.step is not None and reply.text:
                self._read(reply, reply.step)

    def _instruction(self, *, is_last: bool) -> str:
        if is_last:
            return "Use no more tools. Write a line 'Answer:' followed by the answer alone."
        uses = "\n".join(f"- {name}: {_USES.get(name, 'see its name')}" for name in self.scene.tools)
        return (
            f"You may use a tool:\n{uses}\nWrite one short thought, then either a line 'Action: tool[input]', or a "
            "line 'Answer:' followed by the answer alone."
        )

    def _read(self, reply: Reply, step: int) -> None:
        """Find the action or the answer in a thought, whichever comes first."""
        item, text = reply.call.item, reply.text
        action = _ACTION.search(text)
        item.work.last = step
        item.work.notes.append(text[:SHOWN_CHARS])
        is_last = item.round == self.rounds
        answer = final_answer(text[: action.start()] if action and not is_last else text, item.choices)
        if answer is not None:
            self._answered(item, answer, step)
        elif action is not None and not is_last:
            given = next(
                (action[name] for name in ("inside", "round", "below", "rest") if action[name] is not None), ""
            )
            item.work.waiting = action["tool"].lower(), _unfenced(given)
        else:
            item.amend(step, error="unparsable: neither an action nor an answer")

    def _answered(self, item: Item, answer: str, step: int) -> None:
        draft = item.draft or ""
        if same_answer(final_answer(draft, item.choices) or draft) == same_answer(answer):
            item.take(draft, None)
        else:
            severity = "high" if item.work.said else "medium"
            found = Issue(text="Thinking with tools ends elsewhere.", severity=severity, evidence=item.work.said)
            item.amend(step, issues=[found])
            item.take(answer, step)
        item.close("agreed")

    def _act(self, items: list[Item]) -> None:
        """Use the tools that were asked for; one that fails says so, to the model and in the step."""
        for item in items:
            work: _Work = item.work
            if work.waiting is None:
                continue
            (name, given), work.waiting = work.waiting, None
            said, error = self._used(name, given)
            work.said = said[:SHOWN_CHARS]
            work.notes.append(f"Observation: {work.said}")
            work.last = item.note("act", f"{name}: {work.said}", parent=work.last, error=error)

    def _used(self, name: str, given: str) -> tuple[str, str | None]:
        tool = self.scene.tools.get(name)
        if tool is None:
            told = f"there is no tool '{name[:40]}'; there are {', '.join(self.scene.tools)}"
            return told, told
        try:
            return str(tool(given)), None
        except Exception as error:
            told = f"{type(error).__name__}: {error}"[:SHOWN_CHARS]
            return f"it failed: {told}", told


def _unfenced(text: str) -> str:
    """Take away the marks that models put around code."""
    text = re.sub(r"^```[a-z]*\n?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "`\"'" else text
