"""A team in place of a graph's steps: a critic, a fact-checker and an improver, talking in AutoGen.

In: items. Out: the same items, each with what the team said and the improver's last answer that held. Must not know the
store.

The teams of all items talk at the same time. Each waits for its own reply; once every team waits, their requests go to
the model as one batch. So a portion costs three calls of the model a round, as it would in a graph.

Source: Wu et al. 2023, AutoGen, arXiv:2308.08155; the library is autogen-agentchat 0.7.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from sharpen.critique.item import Item
from sharpen.critique.method import Call, Method, Reply
from sharpen.critique.quoting import RULE, quoted, shown
from sharpen.critique.reading import issues, rejection, revised
from sharpen.errors import MissingExtra
from sharpen.plugins import part
from sharpen.records import Message

ROLES = {
    "critic": "List the faults of the proposed answer, one per line, each beginning with '- ' and its severity (low, "
    "medium or high). If there are none, write 'No issues'.",
    "fact_checker": "List the facts and sums in the proposed answer that are false, one per line, each beginning with "
    "'- '. If there are none, write 'No issues'.",
    "improver": "Write the whole improved answer to the question and nothing else. Heed what the others found.",
}


class AutogenTeam(Method):
    """Rounds of critic, fact-checker and improver, until both find nothing."""

    name = "autogen_team"

    def build(self, builder: Any) -> None:
        """Talk in rounds; what held is taken at the end of each."""
        self.add(builder, "team", self._round)
        builder.add_edge("draft", "team")
        self.loop(builder, "team", "team")

    def _round(self, items: list[Item]) -> None:
        self._talk(items)
        self._weigh([item for item in items if item.work])

    def _talk(self, items: list[Item]) -> None:
        for item in items:
            item.work = {}
            if item.round >= self.rounds:
                item.close("rounds")
            item.round += 1
        waiting = [item for item in items if item.open]
        if not waiting:
            return
        failures: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._together(waiting))
            except BaseException as error:
                failures.append(error)

        # A thread of its own: whoever called may have an event loop running in this one.
        thread = threading.Thread(target=run, name="autogen-team")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    async def _together(self, items: Sequence[Item]) -> None:
        table = _Table(self, len(items))
        await asyncio.gather(*(self._team(table, item) for item in items))

    async def _team(self, table: _Table, item: Item) -> None:
        """Let one team talk for one round; what breaks in it is data of its item."""
        parts, silent = _autogen(), asyncio.Event()
        agents = [
            parts["agents"].AssistantAgent(
                role,
                model_client=_client(parts, table, item, role, silent),
                description=task,
                system_message=f"{RULE} {task}",
            )
            for role, task in ROLES.items()
        ]
        # Who has nothing to say ends the talk; an exception would do so too, with a page of AutoGen's own complaints.
        ends = parts["conditions"].FunctionalTermination(lambda _: silent.is_set())
        team = parts["teams"].RoundRobinGroupChat(agents, max_turns=len(agents), termination_condition=ends)
        try:
            await team.run(task=f"Question:\n{shown(item.messages)}\n\nProposed answer:\n{quoted(item.answer)}")
            if silent.is_set():
                self._fail(item, "the model gave no answer")
        except Exception as error:
            self._fail(item, f"{type(error).__name__}: {error}"[:500])
        finally:
            table.leave()

    def _fail(self, item: Item, error: str) -> None:
        """Note why a talk ended early; a step that failed, or a budget that is used up, is noted already."""
        if item.open and not any(step.error for step in item.steps[-len(ROLES) :]):
            item.failed = item.failed or error
            item.note("team", "", parent=item.answer_step, error=item.failed)

    def _weigh(self, items: list[Item]) -> None:
        """Read the reviews; take the improver's answer where it holds."""
        for item in items:
            said: Mapping[str, Reply] = item.work
            clean = 0
            for role in ("critic", "fact_checker"):
                reply = said.get(role)
                if reply is None or reply.step is None or not reply.text:
                    continue
                found = issues(reply.text, item.answer)
                clean += found == []
                item.amend(reply.step, issues=found or (), error=None if found is not None else "unparsable: no review")
            improved = said.get("improver")
            if clean == len(ROLES) - 1:
                item.close("agreed")
            elif improved is not None and improved.step is not None and improved.text:
                answer = revised(improved.text)
                fault = rejection(item.answer, answer, cut=improved.cut)
                if fault:
                    item.amend(improved.step, error=f"not taken: {fault}")
                else:
                    item.take(answer, improved.step)


class _Table:
    """Where the teams wait for each other: when all that still talk have asked, the model answers all at once."""

    def __init__(self, method: AutogenTeam, talking: int) -> None:
        self._method, self._talking = method, talking
        self._waiting: list[tuple[Call, asyncio.Future[Reply]]] = []

    async def ask(self, call: Call) -> Reply:
        """Wait for the reply to one call."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        self._serve()
        return await future

    def leave(self) -> None:
        """Say that a team is done."""
        self._talking -= 1
        self._serve()

    def left(self, item: Item) -> int:
        """Return how many tokens an item may still write."""
        return self._method.settings.max_tokens - item.tokens

    def _serve(self) -> None:
        if not self._waiting or len(self._waiting) < self._talking:
            return
        waiting, self._waiting = self._waiting, []
        critics = [(call, future) for call, future in waiting if call.name != "improver"]
        improvers = [(call, future) for call, future in waiting if call.name == "improver"]
        scene = self._method.scene
        for voice, group in ((scene.critic, critics), (scene.actor, improvers)):
            replies = self._method.ask(voice, [call for call, _ in group], keep=group is critics)
            for reply, (_, future) in zip(replies, group, strict=True):
                future.set_result(reply)


def _autogen() -> dict[str, Any]:
    """Import AutoGen. Raises: MissingExtra; it is no extra of ours, because it pins an old protobuf without need."""
    try:
        return {
            "agents": part("autogen_agentchat.agents"),
            "teams": part("autogen_agentchat.teams"),
            "conditions": part("autogen_agentchat.conditions"),
            "models": part("autogen_core.models"),
        }
    except MissingExtra as error:
        error.next_step = "sharpen install autogen"
        raise


def _client(parts: Mapping[str, Any], table: _Table, item: Item, role: str, silent: asyncio.Event) -> Any:
    """Return an AutoGen model client over our voices, for one agent of one team; it sets `silent` without an answer."""
    models = parts["models"]

    class VoiceClient(models.ChatCompletionClient):  # type: ignore[name-defined,misc]
        """Sends what AutoGen asks to the table, within the item's budget."""

        component_type = "model"
        component_config_schema = None

        def __init__(self) -> None:
            self._used = models.RequestUsage(prompt_tokens=0, completion_tokens=0)

        async def create(self, messages: Sequence[Any], **_: Any) -> Any:
            """Answer one conversation; with nothing where the step failed or the budget is used up."""
            said = item.work
            parent = next(reversed(said.values())).step if said else item.answer_step
            spent = item.prompt_tokens, item.tokens
            reply = await table.ask(Call(item, role, _turns(messages), parent))
            if reply.text:
                said[role] = reply
            else:
                silent.set()
            usage = models.RequestUsage(
                prompt_tokens=item.prompt_tokens - spent[0], completion_tokens=item.tokens - spent[1]
            )
            self._used = models.RequestUsage(
                prompt_tokens=self._used.prompt_tokens + usage.prompt_tokens,
                completion_tokens=self._used.completion_tokens + usage.completion_tokens,
            )
            finish = "length" if reply.cut else "stop"
            return models.CreateResult(content=reply.text, finish_reason=finish, usage=usage, cached=False)

        async def create_stream(self, messages: Sequence[Any], **options: Any) -> AsyncGenerator[Any, None]:
            """Answer in one piece."""
            result = await self.create(messages, **options)
            yield result.content
            yield result

        async def close(self) -> None:
            """Nothing is held open."""

        def actual_usage(self) -> Any:
            """Tokens of this agent."""
            return self._used

        def total_usage(self) -> Any:
            """Tokens of this agent."""
            return self._used

        def count_tokens(self, messages: Sequence[Any], **_: Any) -> int:
            """Roughly: words."""
            return sum(len(turn.content.split()) for turn in _turns(messages))

        def remaining_tokens(self, messages: Sequence[Any], **_: Any) -> int:
            """What the item may still write."""
            return table.left(item)

        @property
        def capabilities(self) -> Any:
            """Say what this model can do."""
            return self.model_info

        @property
        def model_info(self) -> Any:
            """Say what this model can do: text, and nothing else."""
            return models.ModelInfo(
                vision=False, function_calling=False, json_output=False, structured_output=False,
                family=models.ModelFamily.UNKNOWN, multiple_system_messages=False,
            )  # fmt: skip

    return VoiceClient()


def _turns(messages: Sequence[Any]) -> list[Message]:
    """Return AutoGen's messages as one question: what the others said is data, the role's task comes last."""
    system = "\n".join(one.content for one in messages if one.type == "SystemMessage")
    rule, _, task = system.partition(f"{RULE} ")
    first, *others = [one for one in messages if one.type != "SystemMessage"]
    talk = "".join(f"\n\nThe {one.source} said:\n{quoted(str(one.content))}" for one in others)
    body = f"{first.content}{talk}\n\n{task}"
    return [Message(role="system", content=RULE + rule), Message(role="user", content=body)]
