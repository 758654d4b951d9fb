from __future__ import annotations

from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ChatMessage, HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from sharpen.errors import EngineError
from sharpen.models.chat import EngineChatModel
from sharpen.models.engine import Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message
from sharpen.testing import ScriptedEngine


@pytest.fixture
def scripted() -> ScriptedEngine:
    engine = ScriptedEngine(max_context_tokens=50)
    engine.load("ver_1", None)
    return engine


@pytest.fixture
def model(scripted: ScriptedEngine) -> EngineChatModel:
    return EngineChatModel(engine=scripted, version_id="ver_1", max_new_tokens=8)


def test_invoke_answers_with_usage(model: EngineChatModel) -> None:
    reply = model.invoke([SystemMessage("be brief"), HumanMessage("hello there")])
    assert reply.content == "ver_1:hello ver_1:there"
    assert reply.usage_metadata == {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
    assert reply.response_metadata["finish_reason"] == "stop"


def test_roles_stops_and_settings_reach_the_engine() -> None:
    seen: list[Request] = []

    def script(request: Request, version: str) -> str:
        seen.append(request)
        return "one two STOP three"

    engine = ScriptedEngine(script)
    engine.load("v", None)
    model = EngineChatModel(engine=engine, version_id="v", max_new_tokens=9, temperature=0.5, seed=7)
    turns = [SystemMessage("s"), HumanMessage("h"), AIMessage("a"), HumanMessage("q")]
    assert model.invoke(turns, stop=["STOP"]).text == "one two "
    expected = [
        Message(role=r, content=c) for r, c in (("system", "s"), ("user", "h"), ("assistant", "a"), ("user", "q"))
    ]  # type: ignore[arg-type]
    assert seen == [Request(expected, 9, 0.5, seed=7, stop=("STOP",))]


def test_a_stream_gives_the_pieces_and_then_the_usage(model: EngineChatModel) -> None:
    chunks = list(model.stream("hello there you"))
    assert [chunk.text for chunk in chunks if chunk.text] == ["ver_1:hello ", "ver_1:there ", "ver_1:you"]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.text == model.invoke("hello there you").text
    assert whole.usage_metadata == {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}
    assert whole.response_metadata["finish_reason"] == "stop"


def test_a_stream_that_nobody_reads_on_stops_the_job(scripted: ScriptedEngine, model: EngineChatModel) -> None:
    stream = model.stream("one two three four five")
    assert next(stream).text == "ver_1:one "
    stream.close()  # type: ignore[attr-defined]
    assert scripted.step() is False
    assert model.invoke("again").text == "ver_1:again"


def test_many_conversations_are_one_batch(model: EngineChatModel, scripted: ScriptedEngine) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    scripted._on_step = count
    replies = model.batch_messages([[HumanMessage(f"number {i} here")] for i in range(10)])
    assert [reply.text for reply in replies] == [f"ver_1:number ver_1:{i} ver_1:here" for i in range(10)]
    assert steps == 3


def test_a_prompt_that_is_too_long_is_an_engine_error(model: EngineChatModel) -> None:
    with pytest.raises(EngineError, match="at most 49 fit"):
        model.invoke("word " * 60)
    with pytest.raises(EngineError, match="at most 49 fit"):
        list(model.stream("word " * 60))


def test_a_role_that_no_template_knows_is_refused(model: EngineChatModel) -> None:
    with pytest.raises(EngineError, match="no place in a chat template"):
        model.invoke([ChatMessage(role="oracle", content="hm")])


def test_it_answers_inside_a_graph(engine: TransformersEngine) -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    model = EngineChatModel(engine=engine, version_id="base", max_new_tokens=6)
    builder = StateGraph(State)
    builder.add_node("draft", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("again", lambda state: {"messages": [HumanMessage("again"), model.invoke(state["messages"])]})
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "again")
    builder.add_edge("again", END)
    said = builder.compile().invoke({"messages": [HumanMessage("hello")]})["messages"]
    first = engine.generate([Request([Message(role="user", content="hello")], 6)], "base")[0]
    assert [message.type for message in said] == ["human", "ai", "human", "ai"]
    assert said[1].text == first.text
    assert said[1].usage_metadata["output_tokens"] == first.completion_tokens


def test_a_real_engine_streams_what_it_invokes(engine: TransformersEngine) -> None:
    model = EngineChatModel(engine=engine, version_id="base", max_new_tokens=30)
    assert "".join(chunk.text for chunk in model.stream("hello")) == model.invoke("hello").text
