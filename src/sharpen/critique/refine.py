"""Draft, verify, revise: one LangGraph graph over a portion of traces, bounded in rounds.

In: items with a draft. Out: the same items, each with a verified revision, or the reason why there is none. Must not
know the store.

Plain samples of a small model contain almost nothing to learn from: on six-label routing 0 of 1,152 samples at
temperature 1 were exact. So a revision is looked for in an order of its own: read the answer out of the draft, ask
again with verified examples in the prompt (while there is none, take the likeliest of the declared choices), ask again
with others at a low temperature; for a trace with a correction, show the correction as a hint and let the model find
its own way there (STaR's rationalisation).

Source: Self-Refine, Madaan et al. 2023 (the loop); STaR, Zelikman et al. 2022 (verify, rationalise).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sharpen.config import Config
from sharpen.memory.recall import Recall, with_examples
from sharpen.models.engine import Engine, Request
from sharpen.plugins import part
from sharpen.records import Case, Message, content_hash
from sharpen.verify.suites import Suite


@dataclass(slots=True)
class Item:
    """One trace on its way through the graph."""

    trace_id: str
    messages: tuple[Message, ...]
    draft: str
    correction: str | None = None
    case: Case | None = None  # what the verifier compares with; the model never sees it
    choices: tuple[str, ...] = ()
    steps: list[tuple[str, str, int]] = field(default_factory=list)  # name, output, tokens
    candidates: list[tuple[str, str]] = field(default_factory=list)  # strategy, answer; not verified yet
    tried: set[str] = field(default_factory=set)
    draft_score: float | None = None
    revision: str | None = None
    revision_score: float | None = None
    strategy: str | None = None
    stop_reason: str = "rounds"
    error: str | None = None
    open: bool = True


class State(TypedDict):
    """What flows through the graph: the whole portion, so that the engine answers all items of a round together."""

    items: list[Item]
    round: int
    seed: int


class Refiner:
    """The graph, bound to an engine, a verifier and a memory."""

    def __init__(self, engine: Engine, version_id: str, suite: Suite | None, recall: Recall, config: Config) -> None:
        self._engine = engine
        self._version_id = version_id
        self._suite = suite
        self._recall = recall
        self._settings = config.critique
        self._rounds = config.paced("rounds")
        self._samples = config.paced("samples")
        self._graph = self._build()

    def run(self, items: list[Item], seed: int) -> None:
        """Take the items through the graph; they are changed in place."""
        # Two graph steps a round, and a few around them: LangGraph's own bound must not cut ours short.
        self._graph.invoke({"items": items, "round": 0, "seed": seed}, {"recursion_limit": 2 * self._rounds + 8})
        for item in items:
            if item.stop_reason == "verified":
                item.error = None  # a try that failed on the way does not matter any more
            elif item.error:
                item.stop_reason = "error"

    def draw(self) -> str:
        """Return the graph as Mermaid text."""
        return str(self._graph.get_graph().draw_mermaid())

    def _build(self) -> Any:
        graph = part("langgraph.graph")
        builder = graph.StateGraph(State)
        builder.add_node("draft", self._draft)
        builder.add_node("verify", self._verify)
        builder.add_node("revise", self._revise)
        builder.add_edge(graph.START, "draft")
        builder.add_edge("draft", "verify")
        builder.add_conditional_edges("verify", self._next, {"revise": "revise", "end": graph.END})
        builder.add_edge("revise", "verify")
        return builder.compile()

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _draft(self, state: State) -> dict[str, Any]:
        """Take the served answer as the draft, and what can be read out of it as the first candidate."""
        for item in state["items"]:
            item.candidates = [("draft", item.draft)]
            named = [
                choice for choice in item.choices if re.search(rf"\b{re.escape(choice)}\b", item.draft, re.IGNORECASE)
            ]
            if len(named) == 1 and named[0] != item.draft:
                item.candidates.append(("extract", named[0]))
                item.steps.append(("extract", named[0], 0))
        return {"items": state["items"]}

    def _verify(self, state: State) -> dict[str, Any]:
        """Score what is new. An item that cannot be verified is closed: nobody could tell a better answer."""
        for item in state["items"]:
            if not item.open:
                continue
            try:
                self._verify_item(item)
            except Exception as error:
                item.open, item.stop_reason, item.error = False, "error", f"verifier: {type(error).__name__}: {error}"
        return {"items": state["items"], "round": state["round"] + 1}

    def _verify_item(self, item: Item) -> None:
        for strategy, answer in item.candidates:
            if answer in item.tried:
                continue
            item.tried.add(answer)
            score = self._score(item, answer)
            if strategy == "draft":
                item.draft_score = score
            if score is None:
                item.open, item.stop_reason = False, "unverifiable"
                break
            if score >= 1:
                item.open, item.stop_reason, item.strategy = False, "verified", strategy
                if strategy != "draft":
                    item.revision, item.revision_score = answer, score
                break
        item.candidates = []

    def _score(self, item: Item, answer: str) -> float | None:
        """Ask the suite's scorer, or compare with the person's correction where there is one."""
        if item.correction is not None:
            return float(answer.strip() == item.correction)
        if item.case is None or self._suite is None:
            return None
        value, _ = self._suite.score(item.case, answer)
        return value

    def _next(self, state: State) -> str:
        wanted = any(item.open for item in state["items"])
        return "revise" if wanted and state["round"] <= self._rounds else "end"

    def _revise(self, state: State) -> dict[str, Any]:
        """Ask again, with examples; all open items in one batch."""
        open_items = [(place, item) for place, item in enumerate(state["items"]) if item.open]
        asked: list[tuple[Item, str]] = []
        requests: list[Request] = []
        for place, item in open_items:
            # Another seed each round, or a round would repeat the samples of the one before.
            seed = int(content_hash((state["seed"], place, state["round"]), 8), 16)
            for strategy, request in self._requests(item, state["round"], seed):
                asked.append((item, strategy))
                requests.append(request)
        try:
            self._choose([item for _, item in open_items], state["round"])
            replies = self._engine.generate(requests, self._version_id)
        except Exception as error:
            for _, item in open_items:
                item.open, item.stop_reason, item.error = False, "error", f"{type(error).__name__}: {error}"
            return {"items": state["items"]}
        for (item, strategy), reply in zip(asked, replies, strict=True):
            answer = reply.text.strip()
            item.steps.append((strategy, answer, reply.completion_tokens))
            if reply.error:
                item.error = reply.error
            elif answer:
                item.candidates.append((strategy, answer))
        return {"items": state["items"]}

    def _choose(self, items: Sequence[Item], round_: int) -> None:
        """Without any example to show, take the likeliest of the declared choices: a first answer in the right form."""
        lost = [item for item in items if item.choices and item.correction is None]
        if round_ > 1 or len(self._recall) or not lost:
            return
        rows = self._engine.logprobs(
            [item.messages for item in lost], [item.choices for item in lost], self._version_id
        )
        for item, row in zip(lost, rows, strict=True):
            likeliest = item.choices[max(range(len(row)), key=row.__getitem__)]
            item.steps.append(("choose", likeliest, 0))
            item.candidates.append(("choose", likeliest))

    def _requests(self, item: Item, round_: int, seed: int) -> list[tuple[str, Request]]:
        """Return what to ask for one item in this round: first greedily, later by low-temperature samples."""
        if item.correction is not None:
            # The person has said what is right; one hinted try shows whether the model can get there in its own words.
            return [("hint", self._request(_hinted(item), 0.0, seed))] if round_ == 1 else []
        if round_ == 1:
            return [("recall", self._request(self._with_examples(item, diverse=False), 0.0, seed))]
        prompt = self._with_examples(item, diverse=round_ % 2 == 1)
        sampled = [self._request(prompt, self._settings.temperature, seed + i) for i in range(self._samples)]
        return [("revise", request) for request in sampled]

    def _request(self, messages: Sequence[Message], temperature: float, seed: int) -> Request:
        limit = self._settings.max_new_tokens
        return Request(messages=messages, max_new_tokens=limit, temperature=temperature, seed=seed)

    def _with_examples(self, item: Item, *, diverse: bool) -> Sequence[Message]:
        """Put verified examples before the question: one of each answer, or the ones most like it."""
        count = self._settings.examples
        pairs = self._recall.diverse(count) if diverse else self._recall.nearest(item.messages, count)[::-1]
        return with_examples(item.messages, pairs)


def _hinted(item: Item) -> list[Message]:
    """Show the right answer beside the question; the hint is not part of what is learned."""
    *before, last = item.messages
    return [*before, Message(role=last.role, content=f"{last.content}\n\n(The right answer is: {item.correction})")]
