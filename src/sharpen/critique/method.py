"""What every critique method is: a LangGraph graph over a whole portion of items, bounded, and streaming its steps.

In: items, and who may speak. Out: the same items, each with its steps, its answer and why it stopped. Must not know the
store.

A graph begins with "draft" (an answer is asked for where there is none, and scored) and ends with "score" (what the
method ended with is scored). Between them a method asks through `ask` and `judge`: all its items in one batch, each
within its own budget. Only those two nodes, and methods that say so, ever see the verifier.
"""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypedDict

from sharpen.config import Config
from sharpen.critique.constitution import Principle
from sharpen.critique.item import ACCEPTED, CONCLUDED, Item
from sharpen.critique.reading import approval
from sharpen.critique.tools import Tool
from sharpen.critique.viewpoints import Perspective
from sharpen.critique.voices import EngineVoice, Voice, open_voice
from sharpen.memory.recall import Recall
from sharpen.models.engine import Engine, Request
from sharpen.plugins import part
from sharpen.records import Message, Step, content_hash
from sharpen.verify.suites import Suite

ENOUGH_TOKENS = 8  # chosen: with fewer left, a step could not even say an answer
JUDGE_TOKENS = 32  # chosen: room for "Yes" and a reason
STEPS = 100_000  # LangGraph's own bound, out of the way: ours are rounds, tokens and seconds
JUDGE = "Is the proposed answer right? Reply with Yes or No."


Context = Callable[[str, str, int], Sequence[str]]  # a collection, a question, how many -> passages, the best first


def no_context(collection: str, question: str, k: int) -> Sequence[str]:
    """Return no passages: nobody has a collection."""
    return ()


class State(TypedDict):
    """What flows through a graph: the whole portion, so that the calls of all its items go out together."""

    items: list[Item]


@dataclass(frozen=True)
class Scene:
    """What a method works with. `actor` answers, `critic` finds faults, `judge` says yes or no."""

    config: Config
    actor: Voice
    critic: Voice
    judge: Voice
    suite: Suite | None = None
    recall: Recall = field(default_factory=Recall)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    constitution: tuple[Principle, ...] = ()
    perspectives: tuple[Perspective, ...] = ()
    context: Context = no_context

    @classmethod
    def of(cls, config: Config, engine: Engine, version_id: str, **parts: Any) -> Self:
        """Return the scene of the configuration: who acts, criticises and judges, unless `parts` bring them.

        Raises: ConfigError for somebody who cannot be found; MissingExtra.
        """
        own, settings = EngineVoice(engine, version_id), config.critique
        actor = parts.pop("actor", None) or open_voice(settings.actor, own, "actor")
        critic = parts.pop("critic", None) or open_voice(settings.critic, own, "critic")
        judge = parts.pop("judge", None) or (open_voice(settings.judge, own, "judge") if settings.judge else critic)
        return cls(config, actor, critic, judge, **parts)


@dataclass(frozen=True, slots=True)
class Call:
    """Something to be asked for an item; the reply becomes a step of that name under `parent`."""

    item: Item
    name: str
    messages: Sequence[Message]
    parent: int | None = None
    temperature: float = 0.0
    limit: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `step` is None where the budget did not reach so far; `text` is empty where the step failed."""

    call: Call
    step: int | None
    text: str = ""
    cut: bool = False


class Method(ABC):
    """A critique method."""

    name: ClassVar[str]
    needs_verifier: ClassVar[bool] = False

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.settings = scene.config.critique
        self.rounds = scene.config.paced("rounds")
        self.samples = scene.config.paced("samples")
        self._graph = self._compiled()

    @abstractmethod
    def build(self, builder: Any) -> None:
        """Add the nodes and edges between "draft" and "score"."""

    def run(self, items: Sequence[Item], seed: int = 0) -> None:
        """Take the items through the graph; they are changed in place."""
        for _ in self.stream(items, seed):
            pass

    def stream(self, items: Sequence[Item], seed: int = 0) -> Iterator[tuple[Item, Step]]:
        """Take the items through the graph, and yield each step once its node is done."""
        for item in items:
            item.seed = seed
        told = [0] * len(items)
        for _ in self._graph.stream({"items": list(items)}, {"recursion_limit": STEPS}, stream_mode="updates"):
            for place, item in enumerate(items):
                yield from ((item, step) for step in item.steps[told[place] :])
                told[place] = len(item.steps)

    def draw(self) -> str:
        """Return the graph as Mermaid text."""
        return str(self._graph.get_graph().draw_mermaid())

    # -- the graph ---------------------------------------------------------------------------------------------------

    def _compiled(self) -> Any:
        graph = part("langgraph.graph")
        builder = graph.StateGraph(State)
        self.add(builder, "draft", self._draft)
        builder.add_node("score", self._score)
        builder.add_edge(graph.START, "draft")
        builder.add_edge("score", graph.END)
        self.build(builder)
        return builder.compile()

    def add(self, builder: Any, name: str, node: Callable[[list[Item]], None]) -> None:
        """Add a node that works on the items that are still open."""

        def run(state: State) -> State:
            node([item for item in state["items"] if item.open])
            return state

        builder.add_node(name, run)

    def loop(self, builder: Any, after: str, back: str, to: str = "score") -> None:
        """Go from `after` back to `back` while any item is open, then to `to`."""
        builder.add_conditional_edges(
            after, lambda state: back if any(item.open for item in state["items"]) else to, [back, to]
        )

    def _draft(self, items: list[Item]) -> None:
        for reply in self.ask(
            self.scene.actor, [Call(one, "draft", one.messages) for one in items if one.draft is None]
        ):
            if reply.text:
                reply.call.item.draft = reply.text
        for item in items:
            if item.draft is None:
                item.close("error", item.failed or "the model wrote nothing")
                continue
            item.take(item.draft, None)
            item.draft_score = self.scored(item, item.draft)
            if item.draft_score is not None and item.draft_score >= ACCEPTED:
                item.close("verified")
            elif item.draft_score is None and self.needs_verifier:
                item.close("unverifiable")

    def _score(self, state: State) -> State:
        for item in state["items"]:
            if item.draft is None:
                continue
            item.open = False
            if (answer := item.answer.strip()) and answer != item.draft.strip():
                item.revision, item.revision_score = answer, self.scored(item, answer)
                if item.revision_score is not None and item.revision_score >= ACCEPTED:
                    item.stop_reason, item.error = "verified", None
            if item.revision is None and item.stop_reason != "verified":
                item.strategy = None
            if item.failed and item.revision is None and item.stop_reason not in CONCLUDED and item.error is None:
                item.stop_reason, item.error = "error", item.failed
        return state

    def scored(self, item: Item, answer: str) -> float | None:
        """Return what the verifier says; one that fails is data of its item."""
        try:
            return item.score(self.scene.suite, answer)
        except Exception as error:
            item.open, item.stop_reason, item.error = False, "error", f"verifier: {type(error).__name__}: {error}"
            return None

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, voice: Voice, calls: Sequence[Call], *, keep: bool = False) -> list[Reply]:
        """Ask everything in one batch, each item within what is left of its tokens and seconds.

        `keep` leaves room for the step that will give the answer. An item that has nothing left for any of its calls is
        closed.
        """
        limits = self._limits(calls, keep=keep)
        wanted = [(call, limit) for call, limit in zip(calls, limits, strict=True) if limit]
        started = time.perf_counter()
        said = iter(voice.ask([self._request(call, limit) for call, limit in wanted]) if wanted else [])
        share_s = (time.perf_counter() - started) / max(1, len(wanted))
        replies = []
        for call, limit in zip(calls, limits, strict=True):
            if not limit:
                replies.append(Reply(call, None))
                continue
            one, item = next(said), call.item
            step = item.note(call.name, one.text.strip(), tokens=one.tokens, parent=call.parent, error=one.error)
            item.failed = item.failed or one.error
            item.prompt_tokens += one.prompt_tokens
            item.seconds += share_s
            replies.append(Reply(call, step, "" if one.error else one.text.strip(), one.cut))
        return replies

    def judge(self, calls: Sequence[Call]) -> list[float | None]:
        """Ask the judge a yes-or-no question per call; return how sure it is of yes, 0-1, or None where it failed."""
        rows = self.choose(calls, [("Yes", "No")] * len(calls), read=approval)
        return [None if row is None else row[0] for row in rows]

    def choose(
        self,
        calls: Sequence[Call],
        options: Sequence[Sequence[str]],
        read: Callable[[str], float | None] | None = None,
    ) -> list[list[float] | None]:
        """Ask the judge to name one of a call's options; return the share of each, or None where that failed.

        The local engine compares the options by their likelihood; a chat model's words are read: `read` gives the share
        of the first of two options, and without it the option that is named first counts.
        """
        granted = [place for place, limit in enumerate(self._limits(calls)) if limit]
        started = time.perf_counter()
        rows = self.scene.judge.prefer([calls[place].messages for place in granted], [options[p] for p in granted])
        share_s = (time.perf_counter() - started) / max(1, len(granted))
        if rows is None:
            short = [replace(call, limit=JUDGE_TOKENS) for call in calls]
            replies = self.ask(self.scene.judge, short)
            return [self._heard(reply, words, read) for reply, words in zip(replies, options, strict=True)]
        shares: list[list[float] | None] = [None] * len(calls)
        for place, row in zip(granted, rows, strict=True):
            call, fits = calls[place], not any(map(math.isnan, row))
            error = None if fits else "the judge failed: the prompt does not fit, or the model broke"
            call.item.failed = call.item.failed or error
            best = max(range(len(row)), key=row.__getitem__)
            call.item.note(
                call.name,
                options[place][best] if fits else "",
                tokens=1,
                parent=call.parent,
                score=round(row[0 if read else best], 4) if fits else None,
                error=error,
            )
            call.item.seconds += share_s
            shares[place] = list(row) if fits else None
        return shares

    def _heard(
        self, reply: Reply, options: Sequence[str], read: Callable[[str], float | None] | None
    ) -> list[float] | None:
        if reply.step is None or not reply.text:
            return None
        if read is not None:
            value = read(reply.text)
            shares = None if value is None else [value, 1 - value]
        else:
            named = [word for word in re.findall(r"\w+", reply.text) if word in options][:1]
            shares = [float(option == named[0]) for option in options] if named else None
        error = None if shares else f"unparsable: none of {', '.join(options)}"
        reply.call.item.amend(reply.step, score=shares[0] if shares and read else None, error=error)
        return shares

    def _limits(self, calls: Sequence[Call], *, keep: bool = False) -> list[int]:
        """Return how many tokens each call may write; 0 is not to be asked."""
        asked: dict[int, list[Call]] = {}
        for call in calls:
            asked.setdefault(id(call.item), []).append(call)
        granted: dict[int, int] = {}
        for group in asked.values():
            item = group[0].item
            longest = max(call.limit or self.settings.max_step_tokens for call in group)
            left = self.settings.max_tokens - item.tokens
            left -= min(self.settings.max_step_tokens, left // 2) if keep else 0
            count = min(len(group), left // min(ENOUGH_TOKENS, longest))
            if item.open and item.seconds >= self.settings.max_s:
                item.close("seconds")
            elif item.open and count < 1:
                item.close("tokens")
            for call in group[: count if item.open else 0]:
                granted[id(call)] = min(call.limit or self.settings.max_step_tokens, left // count)
        return [granted.get(id(call), 0) for call in calls]

    def _request(self, call: Call, limit: int) -> Request:
        # Another seed for each request of an item, or a round would repeat the samples of the one before.
        item = call.item
        seed = int(content_hash((item.seed, item.trace_id, item.asked), 8), 16)
        item.asked += 1
        return Request(call.messages, limit, call.temperature, seed=seed, stop=call.stop)
