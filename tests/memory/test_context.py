"""What is configured stands around a question; what is not, costs nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sharpen.config import Config, parse
from sharpen.loop import Loop
from sharpen.memory.compose import RULE
from sharpen.memory.context import Context
from sharpen.memory.facts import Fact
from sharpen.memory.knowledge import Knowledge
from sharpen.records import Critique, Message
from sharpen.store import Store
from tests.faults import cycles

PROMPT = (Message(role="system", content="Be brief."), Message(role="user", content="Where do lemurs live?"))
FACT = Fact(
    subject="lemurs", relation="states", object="Madagascar", quote="Lemurs live in Madagascar.", evidence="doc_1"
)


def passages(question: str, k: int) -> list[str]:
    """Bring a passage, as a plugged-in retriever does."""
    return [f"Of '{question}' the guide says: look in the Masoala forest."][:k]


def test_without_anything_configured_a_prompt_stays_as_it_is(tmp_path: Path, sqlite_store: Store) -> None:
    context = Context.of(Config(home=tmp_path), sqlite_store)
    assert context.around(PROMPT) == PROMPT
    assert context.tools == {}
    context.learn([])
    assert not (tmp_path / "knowledge.lbdb").exists()
    assert [path.name for path in tmp_path.iterdir()] in ([], ["store.db"])


def test_facts_and_passages_share_one_budget_and_are_quoted(tmp_path: Path, sqlite_store: Store) -> None:
    memory = {"knowledge": True, "sources": [f"{__name__}:passages"], "budget_tokens": 256}
    config = parse({"home": str(tmp_path), "memory": memory})
    knowledge = Knowledge.of(config, sqlite_store)
    knowledge.learn([FACT])
    knowledge.close()
    context = Context.of(config, sqlite_store)
    system, user = context.around(PROMPT)
    context.close()
    assert system == PROMPT[0]
    assert user.content.endswith(PROMPT[1].content)
    assert user.content.startswith(RULE)
    assert ">> Lemurs live in Madagascar." in user.content
    assert "Masoala forest" in user.content


def test_the_graph_is_a_tool_that_a_critique_may_ask(tmp_path: Path, sqlite_store: Store) -> None:
    context = Context.of(parse({"home": str(tmp_path), "memory": {"knowledge": True}}), sqlite_store)
    assert context.knowledge is not None
    context.knowledge.learn([FACT])
    assert "Lemurs live in Madagascar." in context.tools["knowledge"]("lemurs")
    context.close()


@pytest.mark.timeout(300)
def test_a_cycle_draws_its_critiques_into_the_graph(tmp_path: Path) -> None:
    path = cycles.build(tmp_path)
    path.write_text(re.sub(r"^(\[memory\].*)$", r"\1\nknowledge = true", path.read_text(), flags=re.MULTILINE))
    loop = Loop.open(path)
    loop.cycle(until="critique")
    critiques = loop.store.find(Critique)
    knowledge = Knowledge.of(loop.config, loop.store)
    walked = [knowledge.walk(one.id) for one in critiques]
    knowledge.close()
    assert [len(steps) for steps in walked] == [len(one.steps) for one in critiques]
    assert sum(map(len, walked)) > 0
