from __future__ import annotations

import pytest

from sharpen.capture.traces import record_trace
from sharpen.models.engine import Generation
from sharpen.records import Message, Trace
from sharpen.store import Store


def test_an_exchange_is_on_disk_when_it_is_recorded(sqlite_store: Store, sqlite_url: str) -> None:
    said = (Message(role="user", content="hello"),)
    trace = record_trace(
        sqlite_store, messages=said, generation=Generation("hi", 2, 1, "stop"), version_id="ver_0", latency_s=0.5
    )
    assert Store(sqlite_url).get(Trace, trace.id) == trace
    assert (trace.reply, trace.prompt_tokens, trace.completion_tokens, trace.finish_reason) == ("hi", 2, 1, "stop")


@pytest.mark.parametrize(("written", "reply"), [("", ""), ("half an", "half an")])
def test_a_broken_off_exchange_keeps_what_was_written(sqlite_store: Store, written: str, reply: str) -> None:
    broken = Generation(written, 3, 2, "cancelled")
    assert record_trace(sqlite_store, messages=(), generation=broken, version_id="ver_0").reply == reply


def test_a_failed_exchange_is_a_trace_with_its_error(sqlite_store: Store) -> None:
    failed = Generation("", 3, 0, "error", "out of memory")
    trace = record_trace(sqlite_store, messages=(), generation=failed, version_id="ver_0", session="s")
    kept = sqlite_store.find(Trace, subjects=["s"])
    assert kept == [trace]
    assert (trace.reply, trace.error) == (None, "out of memory")
