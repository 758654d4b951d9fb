from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from sharpen.errors import StoreError
from sharpen.records import Trace

HELLO: Any = [{"role": "user", "content": "hi you"}]
Start = Callable[..., Any]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_the_official_client_gets_a_completion_that_is_already_a_trace(start: Start) -> None:
    served = start()
    got = served.client.chat.completions.with_raw_response.create(model="sharpen", messages=HELLO, user="u1")
    completion = got.parse()
    assert completion.choices[0].message.content == "ver_0:hi ver_0:you"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}) == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
    }
    trace = served.store.get(Trace, completion.id)
    assert (trace.reply, trace.version_id, trace.session) == ("ver_0:hi ver_0:you", "ver_0", "u1")
    assert trace.messages[0].content == "hi you"
    assert got.headers["x-sharpen-trace"] == completion.id
    assert got.headers["x-sharpen-version"] == completion.model == "ver_0"


def test_a_stream_brings_its_pieces_in_order_then_the_usage_and_is_then_a_trace(start: Start) -> None:
    served = start()
    words = " ".join(f"w{number}" for number in range(40))
    chunks = list(
        served.client.chat.completions.create(
            model="sharpen",
            messages=[{"role": "user", "content": words}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert [piece.strip() for piece in pieces] == [f"ver_0:w{number}" for number in range(40)]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 40)
    assert served.store.get(Trace, chunks[0].id).reply == "".join(pieces)


def test_a_stream_ends_with_done_and_without_usage_unless_asked(start: Start) -> None:
    response = start().chat(stream=True)
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "[DONE]"
    assert all("usage" not in json.loads(event) for event in events[:-1])


def test_what_the_client_asks_for_reaches_the_engine(start: Start) -> None:
    served = start()
    served.chat(
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        ],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=-3,
        stop=["X", "Y"],
        metadata={"ignored": "1"},
        store=True,
        n=1,
        tools=[],
        logprobs=False,
        response_format={"type": "text"},
    )
    [request] = served.stage.requests
    assert [(m.role, m.content) for m in request.messages] == [("system", "be brief"), ("user", "one two")]
    assert (request.max_new_tokens, request.temperature, request.top_p, request.stop) == (7, 0.5, 0.9, ("X", "Y"))
    assert request.seed >= 0
    served.chat(max_tokens=1, stop="Z")
    assert (served.stage.requests[1].max_new_tokens, served.stage.requests[1].stop) == (1, ("Z",))


def test_the_session_header_goes_before_the_user(start: Start) -> None:
    served = start()
    body = {"messages": HELLO, "user": "u"}
    answer = served.http.post("/v1/chat/completions", json=body, headers={"x-sharpen-session": "s-1"})
    assert served.store.get(Trace, answer.json()["id"]).session == "s-1"


def test_a_swap_during_requests_loses_none_and_mixes_none(start: Start) -> None:
    served = start(models={"max_rows": 4})
    served.stage.step_s = 0.005
    over = threading.Event()
    answers: list[tuple[str, str]] = []
    failures: list[Exception] = []

    def ask() -> None:
        while not over.is_set():
            try:
                stream = served.client.chat.completions.create(
                    model="sharpen", messages=[{"role": "user", "content": "a b c d"}], stream=True
                )
                chunks = list(stream)
                answers.append((chunks[0].model, "".join(c.choices[0].delta.content or "" for c in chunks)))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        seen = len(answers)
        until(lambda seen=seen: len(answers) > seen)
        served.deploy(f"ver_{number}")
    late = served.chat().json()["model"]
    over.set()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert late == "ver_5"
    for version_id, text in answers:
        assert text == " ".join(f"{version_id}:{word}" for word in "abcd")


def test_a_request_on_its_way_finishes_on_the_version_it_began_with(start: Start) -> None:
    served = start()
    served.stage.step_s = 0.05
    results: list[httpx.Response] = []
    words = "w " * 40
    thread = threading.Thread(target=lambda: results.append(served.chat(messages=[{"role": "user", "content": words}])))
    thread.start()
    until(lambda: served.http.get("/healthz").json()["running"] == 1)
    served.deploy("ver_1")
    assert served.chat().json()["model"] == "ver_1"
    assert not results, "the new version answered while the old one was still writing"
    thread.join(10)
    assert results[0].json()["choices"][0]["message"]["content"].split() == ["ver_0:w"] * 40


def test_an_older_version_answers_when_it_is_asked_for_by_name(start: Start) -> None:
    served = start()
    for number in (1, 2, 3):
        served.deploy(f"ver_{number}")
    assert served.chat(model="ver_0").json()["choices"][0]["message"]["content"] == "ver_0:hi ver_0:you"
    assert [served.chat(model=name).json()["model"] for name in ("sharpen", "champion", "default")] == ["ver_3"] * 3


@pytest.mark.parametrize("name", ["gpt-4o", "ver_9", "\x01", "' OR 1=1 --"])
def test_an_unknown_model_is_a_404_as_with_openai(start: Start, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        start().client.chat.completions.create(model=name, messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_overload_is_a_429_that_says_when_to_come_back_and_loses_nobody(start: Start) -> None:
    served = start(models={"max_rows": 1}, gateway={"max_waiting": 2})
    served.stage.go.clear()
    results: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: results.append(served.chat())) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: sum(served.http.get("/healthz").json()[key] for key in ("running", "waiting")) == 3)
    with pytest.raises(openai.RateLimitError) as caught:
        served.client.chat.completions.create(model="sharpen", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "overloaded"
    served.stage.go.set()
    for thread in threads:
        thread.join(10)
    assert [result.status_code for result in results] == [200] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_is_a_400_and_a_trace_with_an_error(start: Start, stream: bool) -> None:
    served = start()
    refused = served.chat(messages=[{"role": "user", "content": "w " * 100}], stream=stream)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert "100 tokens" in str(served.store.get(Trace, refused.headers["x-sharpen-trace"]).error)


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_fails_is_a_5xx_and_a_trace_with_an_error(start: Start, stream: bool) -> None:
    served = start()
    served.stage.error = RuntimeError("out of memory")
    failed = served.chat(stream=stream)
    served.stage.error = None
    assert failed.status_code == 503
    assert failed.json()["error"]["type"] == "server_error"
    assert "out of memory" in str(served.store.get(Trace, failed.headers["x-sharpen-trace"]).error)
    assert served.chat(stream=stream).status_code == 200


def test_a_stream_that_fails_half_way_says_so_and_does_not_end_as_if_it_were_whole(start: Start) -> None:
    served = start()

    def fail_after_one(request: Any, version_id: str) -> str:
        served.stage.step_s = 0.05
        return "one two three four five six"

    served.stage.script = fail_after_one
    with (
        pytest.raises(openai.APIError),
        served.client.chat.completions.create(model="sharpen", messages=HELLO, stream=True) as stream,
    ):
        for chunk in stream:
            if chunk.choices[0].delta.content:
                served.stage.error = RuntimeError("the card fell out")
    served.stage.error = None
    [trace] = served.store.find(Trace)
    assert "the card fell out" in str(trace.error)


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_stops_the_work_and_leaves_a_trace_of_what_was_written(start: Start, stream: bool) -> None:
    served = start()
    served.stage.script = lambda request, version_id: "word " * 90
    served.stage.step_s = 0.05
    body = {"messages": HELLO, "stream": stream}
    with httpx.Client(base_url=served.url, timeout=0.5, trust_env=False) as impatient:
        if stream:
            with impatient.stream("POST", "/v1/chat/completions", json=body) as response:
                for line in response.iter_lines():
                    if '"content":"word ' in line:
                        break
        else:
            with pytest.raises(httpx.ReadTimeout):
                impatient.post("/v1/chat/completions", json=body)
    until(lambda: served.store.count(Trace) == 1)
    [trace] = served.store.find(Trace)
    assert trace.finish_reason == "cancelled"
    assert 0 < trace.completion_tokens < 90
    assert str(trace.reply).startswith("word")
    assert served.http.get("/healthz").json()["running"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_trace_cannot_be_written_is_not_given_as_complete(
    start: Start, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()

    def full(*_: Any) -> None:
        raise StoreError("The store /secret/path refused: disk is full")

    monkeypatch.setattr(served.store, "append", full)
    failed = served.chat(stream=stream)
    if stream:
        assert "[DONE]" not in failed.text
        assert '"error"' in failed.text
    else:
        assert failed.status_code == 503
    assert "/secret/path" not in failed.text


def test_without_traces_nothing_is_recorded_and_no_trace_is_named(start: Start) -> None:
    served = start(capture={"traces": False})
    answer = served.chat()
    assert answer.status_code == 200
    assert "x-sharpen-trace" not in answer.headers
    assert served.store.count(Trace) == 0
