"""The bytes of an OTLP export become spans, and the answer to it becomes bytes: protobuf or JSON.

In: a body. Out: `Span`s; the body of the response. Must not know what spans mean. The one door to OpenTelemetry's
protobuf classes.

The encodings: https://opentelemetry.io/docs/specs/otlp/. In JSON, ids are hex, where protobuf's own JSON has base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from sharpen.capture.spans import Span
from sharpen.errors import Refused

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_DEEPEST = 32  # chosen: levels of a value; messages with parts have five
_HINT = "send an ExportTraceServiceRequest, as OpenTelemetry's OTLP/HTTP exporters do"


def spans_of(body: bytes, kind: str) -> list[Span]:
    """Return the spans of an export. Raises: Refused when the body is not one."""
    from google.protobuf.json_format import ParseDict, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    try:
        if kind == JSON:
            ParseDict(_with_base64(json.loads(body)), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("The body is no OTLP export of traces.", _HINT) from error
    scopes = (scope for resource in request.resource_spans for scope in resource.scope_spans)
    return [_span(one) for scope in scopes for one in scope.spans]


def response_of(rejected: int, message: str, kind: str) -> bytes:
    """Return an ExportTraceServiceResponse that tells how many spans were not taken, and why."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    if rejected or message:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    if kind == JSON:
        return str(MessageToJson(response, indent=None)).encode()
    return bytes(response.SerializeToString())


def _with_base64(export: Any) -> Any:
    """Return an export with the ids of its spans as protobuf's JSON has them. Raises: ValueError for an id not hex."""
    for span in _json_spans(export):
        span.pop("links", None)
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return export


def _json_spans(export: Any) -> Iterator[dict[str, Any]]:
    for resource in export.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            yield from scope.get("spans", [])


def _span(one: Any) -> Span:
    attributes: dict[str, Any] = {}
    for event in one.events:
        attributes |= {pair.key: _value(pair.value) for pair in event.attributes}
    attributes |= {pair.key: _value(pair.value) for pair in one.attributes}
    took = max(0, one.end_time_unix_nano - one.start_time_unix_nano) / 1e9
    return Span(one.trace_id.hex(), one.span_id.hex(), took, attributes)


def _value(value: Any, depth: int = 0) -> Any:
    """Return an AnyValue as a plain one."""
    which = value.WhichOneof("value")
    if which is None or depth > _DEEPEST:
        return None
    if which == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return getattr(value, which)
