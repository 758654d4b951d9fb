"""Everything configured that is known around a question, put before it: memories, outside sources, the knowledge graph.

In: a prompt. Out: the prompt with notes, under one budget. Must not know who asks.

Plain recall by words needs none of this: its examples stand in prompts as earlier turns, see `recall.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sharpen.config import Config
from sharpen.memory.compose import with_memories
from sharpen.memory.knowledge import Knowledge
from sharpen.memory.search import Found, Memories
from sharpen.memory.sources import Sources
from sharpen.memory.words import asked
from sharpen.records import Critique, Memory, Message
from sharpen.store import Store

_NOTES = 12  # chosen: more than a budget of some hundred tokens holds


class Context:
    """What one tenant's prompts get. Any part may be missing."""

    def __init__(
        self, budget_tokens: int, *, memories: Memories | None, sources: Sources | None, knowledge: Knowledge | None
    ) -> None:
        self._budget_tokens = budget_tokens
        self._memories = memories
        self._sources = sources
        self.knowledge = knowledge

    @classmethod
    def of(cls, config: Config, store: Store) -> Context:
        """Open what the configuration names. Raises: ConfigError, StoreError, MissingExtra."""
        settings = config.memory
        return cls(
            settings.budget_tokens,
            memories=Memories.of(config, store) if settings.recall != "words" else None,
            sources=Sources.of(settings.sources) if settings.sources else None,
            knowledge=Knowledge.of(config, store) if settings.knowledge else None,
        )

    def around(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return the prompt with what is known around its question, as quoted data under the budget.

        Raises: StoreError when a store fails.
        """
        question = asked(messages)
        notes: list[Memory | Found] = []
        if self._memories is not None:
            notes += self._memories.search(question, _NOTES)
        if self._sources is not None:
            notes += self._sources.search(question, _NOTES)
        if self.knowledge is not None:
            found = [one if isinstance(one, Found) else Found(one, 0.0) for one in notes]
            notes = self.knowledge.with_recalled(question, found, self._budget_tokens)
        return with_memories(messages, notes, self._budget_tokens) if notes else tuple(messages)

    @property
    def tools(self) -> dict[str, Callable[[str], str]]:
        """What a critique method may ask while it thinks."""
        return {"knowledge": self.knowledge.lookup} if self.knowledge is not None else {}

    def learn(self, critiques: Iterable[Critique]) -> None:
        """Draw the steps of critiques into the graph, where one is kept."""
        if self.knowledge is not None:
            self.knowledge.add_critiques(critiques)

    def close(self) -> None:
        """Give files and connections back."""
        if self._memories is not None:
            self._memories.close()
        if self.knowledge is not None:
            self.knowledge.close()
