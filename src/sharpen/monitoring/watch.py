"""Watch the versions that answer: is what users meet still as it was?

In: a store. Out: alerts, and the newest windows for whoever wants to see them. Must not know where alerts go.

A version's quality, refusals, errors and latency are compared with those of the version before it, so that a promotion
that made things worse shows; where there is none, and for what a promotion may change (length, wording, meaning), with
the version's own first windows. An alert is named by version, measure and day: told once a day while it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sharpen.config import MonitoringSection
from sharpen.monitoring.charts import MEASURES, TRAITS, Chart, Measure, Strange, Window, histogram, lasting
from sharpen.monitoring.live import Exchange, Live, Rating
from sharpen.records import Deployment, content_hash, now
from sharpen.store import Store

Embed = Callable[[Sequence[str]], dict[str, NDArray[np.float64]]]  # exchanges' ids to their replies' vectors
_HISTORY_DAYS = 28  # chosen: four weeks show every weekly rhythm
_TOLD_HOURS = 24.0  # chosen: what ended earlier was told, or nobody was there to be told
_WEEK_S = 7 * 86_400
_OWN: tuple[Measure, ...] = ("length", "wording", "meaning")  # what a promotion may change


@dataclass(frozen=True, slots=True)
class Alert:
    """What whoever runs this should know. No user's words are in it."""

    id: str
    at: str
    version_id: str
    measure: str
    value: float
    normal: float
    p_value: float
    exchanges: int
    window_start: str
    window_end: str
    text: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest closed window of a measure, and how many windows there are."""

    version_id: str
    measure: Measure
    window: Window
    windows: int
    is_known: bool  # whether there is a reference to compare it with


class Watch:
    """Looks at live traffic, and keeps windows between looks, no words. `embed` also watches what replies mean."""

    def __init__(self, store: Store, settings: MonitoringSection, embed: Embed | None = None) -> None:
        self._store = store
        self._embed = embed
        self._live = Live(store, now() - timedelta(days=_HISTORY_DAYS))
        self._charts = Charts(settings)

    def look(self, at: datetime | None = None) -> list[Alert]:
        """Read what is new and return what is not normal. Raises: StoreError."""
        exchanges, ratings = self._live.refresh()
        exchanges.sort(key=lambda one: one.at_s)
        for exchange in exchanges:
            self._charts.take(exchange)
        if self._embed is not None and exchanges:
            self._charts.take_meaning(exchanges, self._embed([one.id for one in exchanges]))
        for rating in sorted(ratings, key=lambda one: one.at_s):
            self._charts.take_rating(self._live.exchanges[rating.trace_id].version_id, rating)
        return self._charts.alerts(self._replaced(), at or now())

    def latest(self) -> list[Latest]:
        """Return the newest window of each version and measure. Raises: StoreError."""
        return self._charts.latest(self._replaced())

    def _replaced(self) -> dict[str, str]:
        """Return, per version, the champion that it replaced first."""
        champions = [one.version_id for one in self._store.find(Deployment)]
        found: dict[str, str] = {}
        for earlier, later in pairwise(champions):
            if earlier != later:
                found.setdefault(later, earlier)
        return found


class Charts:
    """The charts of every version and measure, and what in them is not normal."""

    def __init__(self, settings: MonitoringSection) -> None:
        self._settings = settings
        self._charts: dict[tuple[str, Measure], Chart] = {}
        self._judged: dict[tuple[str, Measure], int] = {}

    def latest(self, replaced: dict[str, str]) -> list[Latest]:
        """Return the newest window of each version and measure; `replaced` names the version before each."""
        found = []
        for (version_id, measure), chart in sorted(self._charts.items()):
            if chart.windows:
                is_known = bool(self._normal(chart, version_id, replaced))
                found.append(Latest(version_id, measure, chart.windows[-1], len(chart.windows), is_known))
        return found

    def take(self, one: Exchange) -> None:
        """Take an exchange, in the order of time."""
        if not one.is_over:
            return
        self._chart(one.version_id, "errors").add(one.at_s, float(one.has_failed))
        if one.has_failed:
            return
        self._chart(one.version_id, "refusals").add(one.at_s, float(one.is_refusal))
        self._chart(one.version_id, "latency").add(one.at_s, one.latency_s)
        self._chart(one.version_id, "length").add(one.at_s, math.log1p(one.tokens))
        self._chart(one.version_id, "wording").add(one.at_s, histogram(one.words))

    def take_rating(self, version_id: str, rating: Rating) -> None:
        """Take what somebody thought of a version's answer."""
        self._chart(version_id, "quality").add(rating.at_s, rating.value)

    def take_meaning(self, exchanges: Sequence[Exchange], vectors: Mapping[str, NDArray[np.float64]]) -> None:
        """Take the embeddings of replies, by the exchange's id."""
        for one in exchanges:
            if one.id in vectors and one.is_over and not one.has_failed:
                self._chart(one.version_id, "meaning").add(one.at_s, vectors[one.id])

    def _chart(self, version_id: str, measure: Measure) -> Chart:
        key = (version_id, measure)
        if key not in self._charts:
            length_s, least = self._settings.window_minutes * 60, self._settings.min_window
            self._charts[key] = Chart(measure, length_s=length_s, least=least)
        return self._charts[key]

    def alerts(self, replaced: dict[str, str], at: datetime) -> list[Alert]:
        """Return what is not normal in the windows closed since the last call."""
        limit = limit_per_window(self._settings)
        found = []
        for (version_id, measure), chart in sorted(self._charts.items()):
            normal = self._normal(chart, version_id, replaced)
            is_own = bool(normal) and normal[0] is chart.windows[0]
            first = max(self._judged.get((version_id, measure), 0), len(normal) if is_own else 0)
            for earlier, window in pairwise(chart.windows[first:] if normal else ()):
                odd = lasting(measure, earlier, window, normal, limit)
                if odd is not None and at.timestamp() - window.end_s < _TOLD_HOURS * 3600:
                    found.append(alert_of(version_id, measure, odd, at))
            if normal:
                self._judged[version_id, measure] = len(chart.windows) - 1  # the last one stands before the next
        return list({one.id: one for one in found}.values())

    def _normal(self, chart: Chart, version_id: str, replaced: dict[str, str]) -> list[Window]:
        """Return the windows that say what is normal; none while they are being gathered."""
        count = self._settings.reference
        earlier = self._charts.get((replaced.get(version_id, ""), chart.measure))
        if chart.measure not in _OWN and earlier is not None and len(earlier.windows) >= count and chart.windows:
            began = chart.windows[0].start_s
            windows = [one for one in earlier.windows if one.end_s <= began]
            if len(windows) >= count:
                return windows[-count:]
        return chart.windows[:count] if len(chart.windows) > count else []


def limit_per_window(settings: MonitoringSection) -> float:
    """Return the chance of a false alarm that one window of one measure may use."""
    per_week = _WEEK_S / (settings.window_minutes * 60)
    return settings.false_alarms / (per_week * len(MEASURES))


def alert_of(version_id: str, measure: Measure, odd: Strange, at: datetime) -> Alert:
    """Return the alert of a strange window."""
    start, end = (datetime.fromtimestamp(one, UTC) for one in (odd.window.start_s, odd.window.end_s))
    text = (
        f"{TRAITS[measure].name} of {version_id} is {odd.value:.3g}, normal is {odd.normal:.3g} "
        f"({odd.window.n} values from {start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC, p {odd.p_value:.1g})"
    )
    return Alert(
        id=f"alt_{content_hash((version_id, measure, f'{end:%Y-%m-%d}'))}",
        at=at.isoformat(), version_id=version_id, measure=measure, value=odd.value, normal=odd.normal,
        p_value=odd.p_value, exchanges=odd.window.n, window_start=start.isoformat(), window_end=end.isoformat(),
        text=text,
    )  # fmt: skip
