from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openai
import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sharpen.records import Feedback, Trace
from tests.conformance import record

Start = Callable[..., Any]
ASKED = [{"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}]
ASKED += [{"role": "user", "parts": [{"type": "text", "content": "What is 17 * 23?"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "391"}], "finish_reason": "stop"}]


def exported(served: Any) -> tuple[TracerProvider, OTLPSpanExporter]:
    exporter = OTLPSpanExporter(endpoint=f"{served.url}/v1/traces", timeout=10)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def genai_span(**more: Any) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(ASKED),
        "gen_ai.output.messages": json.dumps(ANSWERED),
    } | more
    pairs = [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items() if value is not None]
    times = {"startTimeUnixNano": "1000000000", "endTimeUnixNano": "1500000000"}
    return {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "attributes": pairs} | times


def export(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


@contextmanager
def some_model() -> Iterator[str]:
    """Serve a model of someone else's, which the app under test asks."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            message = {"role": "assistant", "content": "bonjour"}
            usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            body = {"id": "x", "object": "chat.completion", "created": 1, "model": "other-1", "choices": choices}
            data = json.dumps(body | {"usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def instrumented(provider: TracerProvider) -> Iterator[None]:
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        yield
    finally:
        OpenAIInstrumentor().uninstrument()
        provider.shutdown()


def test_an_app_instrumented_with_openinference_feeds_the_store(
    start: Start, record_property: Callable[[str, object], None]
) -> None:
    record(record_property, table="tracing clients", part="OpenInference openai", check="exchanges", how="real library")
    served = start()
    provider, _ = exported(served)
    with some_model() as url, instrumented(provider):
        client = openai.OpenAI(base_url=url, api_key="unused", max_retries=0)
        messages: Any = [{"role": "system", "content": "In French."}, {"role": "user", "content": "hello"}]
        client.chat.completions.create(model="other-1", messages=messages)
        client.close()
    [trace] = served.store.find(Trace)
    assert [(turn.role, turn.content) for turn in trace.messages] == [("system", "In French."), ("user", "hello")]
    assert (trace.reply, trace.prompt_tokens, trace.completion_tokens) == ("bonjour", 5, 2)


def test_an_exchange_with_this_gateway_is_not_written_twice(start: Start) -> None:
    served = start()
    provider, _ = exported(served)
    with instrumented(provider):
        served.client.chat.completions.create(model="sharpen", messages=[{"role": "user", "content": "hello"}])
    assert [trace.reply for trace in served.store.find(Trace)] == ["ver_0:hello"]


def test_the_sdk_s_own_exporter_sends_genai_spans_and_feedback_finds_them_by_the_span_s_ids(
    start: Start, record_property: Callable[[str, object], None]
) -> None:
    record(record_property, table="tracing clients", part="OpenTelemetry SDK", check="exchanges", how="real library")
    served = start()
    provider, _ = exported(served)
    with provider.get_tracer("app").start_as_current_span("chat other-1") as span:
        context = span.get_span_context()
        name = f"{context.trace_id:032x}-{context.span_id:016x}"
        said = served.http.post("/v1/feedback", json={"exchange": name, "rating": 1})
        assert said.json()["waits_for_exchange"]
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.conversation.id", "talk-1")
        span.set_attribute("gen_ai.usage.input_tokens", 9)
        span.add_event(
            "gen_ai.client.inference.operation.details",
            {"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.output.messages": json.dumps(ANSWERED)},
        )
    provider.shutdown()
    [trace] = served.store.find(Trace)
    assert (trace.reply, trace.session, trace.prompt_tokens) == ("391", "talk-1", 9)
    assert trace.messages[0].content == "Be brief."
    assert served.store.find(Feedback)[0].trace_id == trace.id


def test_json_gzip_and_a_batch_that_is_sent_again(start: Start) -> None:
    served = start()
    body = gzip.compress(json.dumps(export(genai_span())).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for _ in range(2):
        answer = served.http.post("/v1/traces", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    [trace] = served.store.find(Trace)
    assert (trace.reply, trace.latency_s) == ("391", 0.5)


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ({"gen_ai.input.messages": None}, "no messages"),
        ({"gen_ai.output.messages": "[{"}, "not JSON"),
        ({"gen_ai.output.messages": "{}"}, "no list"),
        ({"gen_ai.input.messages": "[1]"}, "no object"),
        ({"gen_ai.input.messages": json.dumps(ASKED[:1])}, "user's turn"),
        ({"gen_ai.input.messages": '[{"role": "wizard", "content": "x"}]'}, "role"),
    ],
)
def test_a_span_that_cannot_be_used_is_told_and_the_rest_is_taken(start: Start, spoiled: Any, why: str) -> None:
    served = start()
    bad = genai_span(**spoiled) | {"spanId": "ef" * 8}
    told = served.http.post("/v1/traces", json=export(genai_span(), bad)).json()["partialSuccess"]
    assert told["rejectedSpans"] == "1"
    assert why in told["errorMessage"]
    assert served.store.count(Trace) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"resourceSpans": 1}', {}, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-encoding": "br"}, 415),
        (b"{}", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-9], {"content-encoding": "gzip"}, 400),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"content-encoding": "gzip"}, 413),
        (json.dumps(export(*[{"name": "x"}] * 513)).encode(), {}, 413),
    ],
    ids=range(12),
)
def test_what_is_no_export_is_refused(start: Start, body: bytes, headers: dict[str, str], status: int) -> None:
    served = start()
    answer = served.http.post("/v1/traces", content=body, headers={"content-type": "application/json"} | headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert served.store.count(Trace) == 0


def test_without_capture_nothing_is_taken(start: Start) -> None:
    assert start(capture={"traces": False}).http.post("/v1/traces", json=export(genai_span())).status_code == 403
