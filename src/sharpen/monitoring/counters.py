"""What the server counts, in Prometheus' form.

In: what happened. Out: the text that a Prometheus server reads. Must not know HTTP, and never gets a user's words: a
label is a version of ours, or one of a few fixed words.

Every server has a registry of its own; nothing is global. At most 32 versions have a label; more are "other".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

Outcome = Literal["answered", "cancelled", "refused", "failed"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MOST_VERSIONS = 32  # chosen: a promotion a day for a month; every version adds some 20 time series
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)  # chosen: a small model on a CPU, to a long reply


class Counters:
    """Counts what a server does. `state` is asked at each reading."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._versions: set[str] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sharpen_{name}", text, labels, registry=self._registry)

        self._requests = counter("requests", "Exchanges that ended.", "version", "outcome")
        self._tokens = counter("tokens", "Tokens read and written.", "version", "kind")
        self._feedback = counter("feedback", "Feedback that was taken.", "kind")
        self._responses = counter("http_responses", "Answers of the server.", "route", "status")
        self._seconds = Histogram(
            "sharpen_request_seconds", "Seconds from request to last token.", ["version"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Live(state))

    def exchange(self, version_id: str, outcome: Outcome, seconds: float, prompt: int, completion: int) -> None:
        """Count one exchange, its time and its tokens."""
        version = self._label(version_id)
        self._requests.labels(version, outcome).inc()
        self._seconds.labels(version).observe(seconds)
        self._tokens.labels(version, "prompt").inc(prompt)
        self._tokens.labels(version, "completion").inc(completion)

    def feedback(self, rating: float | None, is_correction: bool) -> None:
        """Count one piece of feedback."""
        kind = "comment" if rating is None else "good" if rating > 0 else "bad" if rating < 0 else "neutral"
        self._feedback.labels("correction" if is_correction else kind).inc()

    def response(self, route: str, status: int) -> None:
        """Count one answer; `route` is one of the server's own paths, or "other"."""
        self._responses.labels(route, str(status)).inc()

    def text(self) -> bytes:
        """Return everything, in Prometheus' text form."""
        return generate_latest(self._registry)

    def _label(self, version_id: str) -> str:
        if version_id not in self._versions:
            if len(self._versions) >= _MOST_VERSIONS:
                return "other"
            self._versions.add(version_id)
        return version_id


@dataclass(frozen=True, slots=True)
class State:
    """What is so at the moment of reading."""

    waiting: int
    running: int
    swaps: int
    shares: Mapping[str, float]
    is_ready: bool


class _Live(Collector):
    """Turns the state into metrics when somebody reads."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        yield GaugeMetricFamily("sharpen_waiting", "Requests that wait for the model.", value=state.waiting)
        yield GaugeMetricFamily("sharpen_running", "Requests on the model.", value=state.running)
        yield GaugeMetricFamily("sharpen_ready", "1 while a version answers.", value=float(state.is_ready))
        yield CounterMetricFamily("sharpen_swaps", "Deployments that were taken over.", value=state.swaps)
        live = GaugeMetricFamily("sharpen_live_version", "Share of the traffic per version.", labels=["version"])
        for version_id, share in state.shares.items():
            live.add_metric([version_id], share)
        yield live
