"""POST /v1/traces: exchanges of apps that already trace, as OpenTelemetry's exporters send them.

In: an OTLP/HTTP export. Out: how many spans were not taken, once the others are on disk. Must not know what spans mean.

A full queue is 429 before anything of the export is taken, and exporters send it again.
"""

from __future__ import annotations

import asyncio
import logging
import zlib

from fastapi import APIRouter, Request
from starlette.responses import Response

from sharpen.capture.otlp import JSON, PROTOBUF, response_of, spans_of
from sharpen.capture.spans import traces_of
from sharpen.errors import Refused
from sharpen.gateway.desk import Desk
from sharpen.gateway.faults import Fault

_log = logging.getLogger(__name__)
_GZIP = 16 + zlib.MAX_WBITS
_MOST_SPANS = 512  # OpenTelemetry's default for a batch: https://opentelemetry.io/docs/specs/otel/trace/sdk/


def routes(desk: Desk) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/traces")
    async def take(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (PROTOBUF, JSON):
            message = f"The body must be an OTLP export: '{PROTOBUF}' or '{JSON}'."
            raise Fault(415, message, code="unsupported_media_type")
        if not desk.config.capture.traces:
            raise Fault(403, "No exchange is kept here: `traces = false` under [capture].", code="capture_is_off")
        body = _unpacked(await request.body(), request.headers.get("content-encoding", ""), desk)
        spans = await asyncio.to_thread(spans_of, body, kind)
        if len(spans) > _MOST_SPANS:
            raise Fault(413, f"The export has more than {_MOST_SPANS} spans; send smaller ones.", code="too_many_spans")
        read = traces_of(spans)
        desk.traces.check_room(len(read.traces))
        # One of these may be there already with other content: that is its own fault, and the rest stays written.
        results = await asyncio.gather(*map(desk.traces.put, read.traces), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Refused):
                raise result
        taken_before = [str(result) for result in results if isinstance(result, Refused)]
        reasons = read.reasons + taken_before
        if reasons:
            _log.warning("%d spans of an export were not taken; the first: %s", len(reasons), reasons[0])
        return Response(response_of(len(reasons), reasons[0] if reasons else "", kind), media_type=kind)

    return router


def _unpacked(body: bytes, coding: str, desk: Desk) -> bytes:
    """Return the body without its gzip, which may not hide one that is too long. Raises: Fault 400, 413, 415."""
    if coding in ("", "identity"):
        return body
    if coding != "gzip":
        raise Fault(415, "An export may be coded with gzip, or not at all.", code="unsupported_coding")
    most = desk.config.gateway.max_body_bytes
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise Fault(400, "The body is not gzip.", code="invalid_gzip") from error
    if len(plain) > most:
        raise Fault(413, f"The body is longer than {most} bytes.", code="body_too_large")
    if not unpacking.eof:
        raise Fault(400, "The gzip is cut short.", code="invalid_gzip")
    return plain
