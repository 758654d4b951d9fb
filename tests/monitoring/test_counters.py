"""The server says how it is, in words that Prometheus reads and nobody's text is in."""

from __future__ import annotations

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from sharpen.monitoring.counters import Counters, State


def state() -> State:
    return State(waiting=3, running=2, swaps=5, shares={"ver_0": 0.95, "ver_1": 0.05}, is_ready=True)


def values(counters: Counters) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(counters.text().decode())
    return {
        (one.name, tuple(one.labels[label] for label in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


def test_exchanges_feedback_and_state_are_counted() -> None:
    counters = Counters(state)
    counters.exchange("ver_0", "answered", 0.3, 10, 4)
    counters.exchange("ver_0", "failed", 3.0, 10, 0)
    counters.feedback(-1.0, False)
    counters.feedback(None, True)
    counters.response("/v1/feedback", 200)
    found = values(counters)
    assert found["sharpen_requests_total", ("answered", "ver_0")] == 1
    assert found["sharpen_tokens_total", ("prompt", "ver_0")] == 20
    assert found["sharpen_request_seconds_count", ("ver_0",)] == 2
    assert (found["sharpen_feedback_total", ("bad",)], found["sharpen_feedback_total", ("correction",)]) == (1, 1)
    assert found["sharpen_http_responses_total", ("/v1/feedback", "200")] == 1
    assert (found["sharpen_waiting", ()], found["sharpen_running", ()], found["sharpen_swaps_total", ()]) == (3, 2, 5)
    assert found["sharpen_live_version", ("ver_1",)] == 0.05


def test_two_servers_share_nothing() -> None:
    one, two = Counters(state), Counters(state)
    one.feedback(1.0, False)
    assert ("sharpen_feedback_total", ("good",)) not in values(two)
    assert [family.name for family in REGISTRY.collect() if family.name.startswith("sharpen")] == []


def test_versions_beyond_the_thirty_second_have_one_label() -> None:
    counters = Counters(state)
    for number in range(100):
        counters.exchange(f"ver_{number}", "answered", 0.1, 1, 1)
    found = {labels[1] for name, labels in values(counters) if name == "sharpen_requests_total"}
    assert len(found) == 33
    assert values(counters)["sharpen_requests_total", ("answered", "other")] == 68
