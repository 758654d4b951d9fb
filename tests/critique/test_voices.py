"""Whoever speaks is asked in batches, and one that fails is data."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from tests.critique.sums import RIGHT, Counting, opened, sum_item

from sharpen.critique.method import JUDGE, Call
from sharpen.critique.quoting import about
from sharpen.critique.voices import KEY_ENV, ChatVoice, EngineVoice, open_voice, voice_of
from sharpen.errors import ConfigError
from sharpen.models.chat import EngineChatModel
from sharpen.models.engine import Request
from sharpen.records import Message

ASKED = Request((Message(role="system", content="Be short."), Message(role="user", content="2 + 2?")), 7, 0.5)


def replies(*said: Any) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(text) for text in said]))


def make_critic() -> GenericFakeChatModel:
    return replies("Yes", "No")


A_CRITIC = replies("Yes")


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Speak OpenAI's protocol on this machine, and keep what was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body | {"key": self.headers["Authorization"]})
            usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
            message = {"role": "assistant", "content": "No, it is 4."}
            choice = {"index": 0, "message": message, "finish_reason": "length"}
            answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            data = json.dumps(answer | {"usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/v1", asked
        listening.shutdown()


def test_an_openai_critic_gets_limits_and_its_own_key(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address, asked = server
    monkeypatch.setenv("OPENAI_API_KEY", "somebody-else-s")
    monkeypatch.setenv(KEY_ENV, "mine")
    own = EngineVoice(Counting(), "v")
    voice = open_voice(f"openai:{address}#m", own)
    [said, _] = voice.ask([ASKED, ASKED])
    assert (said.text, said.tokens, said.prompt_tokens, said.cut) == ("No, it is 4.", 2, 11, True)
    assert (asked[0]["model"], asked[0]["temperature"], asked[0]["key"]) == ("m", 0.5, "Bearer mine")
    assert 7 in (asked[0].get("max_tokens"), asked[0].get("max_completion_tokens"))
    assert [turn["role"] for turn in asked[0]["messages"]] == ["system", "user"]
    monkeypatch.delenv(KEY_ENV)
    open_voice(f"openai:{address}#m", own).ask([ASKED])
    assert asked[-1]["key"] == "Bearer none"


def test_a_critic_that_is_away_is_data() -> None:
    voice = open_voice("openai:http://127.0.0.1:9/v1#m", EngineVoice(Counting(), "v"))
    voice.model.max_retries = 0  # type: ignore[attr-defined]
    [said] = voice.ask([ASKED])
    assert said.text == "" and "ConnectionError" in (said.error or "")


@pytest.mark.parametrize("spec", ["tests.critique.test_voices:make_critic", "tests.critique.test_voices:A_CRITIC"])
def test_any_chat_model_can_be_named(spec: str) -> None:
    voice = open_voice(spec, EngineVoice(Counting(), "v"))
    assert isinstance(voice, ChatVoice) and voice.ask([ASKED])[0].text == "Yes"


@pytest.mark.parametrize(
    "spec", ["gpt", "openai:host", "openai:http://host/v1", "no_such_module:x", "json:nothing", "json:dumps"]
)
def test_a_critic_that_cannot_be_found_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"\[critique\] critic|not a LangChain chat model"):
        open_voice(spec, EngineVoice(Counting(), "v"))


def test_our_own_engine_behind_langchain_is_asked_in_one_batch() -> None:
    engine = Counting(lambda request, version: "Yes")
    voice = voice_of(EngineChatModel(engine=engine, version_id="v"))
    assert [said.text for said in voice.ask([ASKED] * 3)] == ["Yes"] * 3
    assert engine.batches == [3]


def test_a_chat_model_s_judgement_is_read_leniently() -> None:
    method = opened("cot", Counting())
    said = ("**Yes.**", "I would say no, because", "8/10", "Perhaps")
    items = [sum_item(str(number)) for number in range(4)]
    calls = [Call(item, "judge", about(item.messages, f"answer {item.trace_id}", JUDGE)) for item in items]

    class Judge(GenericFakeChatModel):
        """Say to each answer what belongs to it, whichever of a batch is asked first."""

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
            number = int(messages[-1].content.partition("> answer ")[2].partition("\n")[0])
            return ChatResult(generations=[ChatGeneration(message=AIMessage(said[number]))])

    object.__setattr__(method.scene, "judge", ChatVoice(Judge(messages=iter([]))))
    assert method.judge(calls) == [1.0, 0.0, 0.8, None]
    assert "unparsable" in (items[3].steps[0].error or "")
    assert [item.steps[0].tokens for item in items] == [1, 5, 1, 1]


def test_another_model_can_be_the_critic_of_our_answers() -> None:
    engine = Counting()
    method = opened("self_refine", engine)
    object.__setattr__(method.scene, "critic", ChatVoice(replies('- high: "5" is wrong', "No issues")))
    one = sum_item()
    method.run([one])
    assert (one.revision, one.stop_reason) == (RIGHT, "agreed")
    assert len(engine.asked) == 1


def test_each_part_can_be_played_by_another_model() -> None:
    """The configuration names who acts, who criticises and who judges."""
    spec = "tests.critique.test_voices:make_critic"
    engine = Counting()
    for key, who in (("actor", "actor"), ("critic", "critic"), ("judge", "judge")):
        scene = opened("cot", engine, **{key: spec}).scene
        others = {"actor": scene.actor, "critic": scene.critic, "judge": scene.judge}
        played = {name for name, voice in others.items() if isinstance(voice, ChatVoice)}
        assert played == ({"critic", "judge"} if who == "critic" else {who})
    with pytest.raises(ConfigError, match=r"\[critique\] judge = 'gpt'"):
        opened("cot", engine, judge="gpt")


def test_the_engine_falls_back_to_one_by_one() -> None:
    def breaks(request: Request, version: str) -> str:
        if request.seed == 2:
            raise ValueError("bad request")
        return "fine"

    voice = EngineVoice(Counting(breaks), "v")
    said = voice.ask([Request(ASKED.messages, seed=seed) for seed in range(4)])
    assert [one.text for one in said] == ["fine", "fine", "", "fine"]
    assert said[2].error == "ValueError: bad request"
