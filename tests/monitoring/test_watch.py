"""A week in which nothing happens is quiet; a week in which something does is not."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from sharpen.config import MonitoringSection
from sharpen.monitoring.charts import MEASURES, Chart, Measure, Window, histogram, lasting
from sharpen.monitoring.live import Exchange, Live, Rating, before, sketch
from sharpen.monitoring.watch import Charts, Watch, limit_per_window
from sharpen.records import Deployment, Feedback, Message, Trace
from sharpen.store import Store

SETTINGS = MonitoringSection()
HOURS, REFERENCE = 168, SETTINGS.reference
WEEKS = 200
Draw = Callable[[np.random.Generator, int, float], Window]
TOPIC = np.random.default_rng(0).dirichlet(np.full(512, 0.3))
OTHER = np.random.default_rng(1).dirichlet(np.full(512, 0.3))


def share(rate: float, planted: float) -> Draw:
    """Draw a share; whoever writes a lot writes alike, and the rate goes up and down with the day."""

    def draw(rng: np.random.Generator, hour: int, drift: float) -> Window:
        n = int(rng.integers(40, 120))
        daily = rate * (1 + 0.3 * math.sin(hour * math.tau / 24))
        return Window(hour, hour + 1, n, float((rng.random(n) < daily + drift * planted).mean()))

    return draw


def number(mean: float, spread: float, planted: float, *, is_p95: bool = False) -> Draw:
    def draw(rng: np.random.Generator, hour: int, drift: float) -> Window:
        n = int(rng.integers(40, 120))
        values = rng.normal(mean + 0.05 * math.sin(hour * math.tau / 24) + drift * planted, spread, n)
        value = float(np.quantile(values, 0.95)) if is_p95 else float(values.mean())
        return Window(hour, hour + 1, n, value)

    return draw


def quality(rng: np.random.Generator, hour: int, drift: float) -> Window:
    ratings = rng.random(30) < 0.75 + 0.05 * math.sin(hour * math.tau / 24) - 0.45 * drift
    return Window(hour, hour + 1, 30, float(ratings.mean()))


def wording(rng: np.random.Generator, hour: int, drift: float) -> Window:
    mix = (1 - 0.5 * drift) * TOPIC + 0.5 * drift * OTHER
    return Window(hour, hour + 1, 30, 0.0, rng.multinomial(30 * 20, mix / mix.sum()) / 600)


def meaning(rng: np.random.Generator, hour: int, drift: float) -> Window:
    base, other = np.eye(16)[0], np.eye(16)[1]
    centre = base + drift * other
    return Window(hour, hour + 1, 30, 0.0, (centre + rng.normal(0, 0.4, (30, 16))).mean(axis=0))


DRAWS: dict[Measure, Draw] = {
    "quality": quality,
    "refusals": share(0.04, 0.3),
    "errors": share(0.01, 0.2),
    "latency": number(0.0, 0.4, math.log(3), is_p95=True),
    "length": number(4.0, 0.6, math.log(2)),
    "wording": wording,
    "meaning": meaning,
}


def alarms(seed: int, drifting: Measure | None = None, hours: int = HOURS) -> set[Measure]:
    """Return the measures that are told in a week, whose second half drifts if a measure is named."""
    told: set[Measure] = set()
    for place, (measure, draw) in enumerate(DRAWS.items()):
        if drifting not in (None, measure):
            continue
        rng = np.random.default_rng([seed, place])
        reference = [draw(rng, hour, 0.0) for hour in range(REFERENCE)]
        windows = []
        for hour in range(REFERENCE, REFERENCE + hours):
            windows.append(draw(rng, hour, float(drifting == measure and hour >= REFERENCE + hours // 2)))
        for earlier, window in pairwise(windows):
            if lasting(measure, earlier, window, reference, limit_per_window(SETTINGS)):
                told.add(measure)
                break
    return told


def test_the_simulation_covers_every_measure() -> None:
    assert tuple(DRAWS) == MEASURES


def test_quiet_weeks_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    told = [alarms(seed) for seed in range(WEEKS)]
    false = sum(bool(one) for one in told)
    with capsys.disabled():
        print(f"\nquiet weeks with any alarm: {false} of {WEEKS}; promised at most {SETTINGS.false_alarms:.0%}")
    assert false / WEEKS <= SETTINGS.false_alarms


@pytest.mark.parametrize("measure", MEASURES)
def test_a_planted_drift_fires(measure: Measure, capsys: pytest.CaptureFixture[str]) -> None:
    fired = sum(measure in alarms(seed, measure, hours=24) for seed in range(100))
    with capsys.disabled():
        print(f"\n{measure}: a planted drift of 12 hours fired in {fired} of 100")
    assert fired >= 95


# -- from exchanges to alerts ------------------------------------------------------------------------------------------

START = datetime(2026, 3, 2, tzinfo=UTC)


def exchange(at_s: float, version_id: str, rng: np.random.Generator, *, refuses: float = 0.02) -> Exchange:
    words = " ".join(str(one) for one in rng.integers(0, 200, 20))
    refused = bool(rng.random() < refuses)
    latency_s = float(rng.lognormal(0, 0.3))
    name = f"{version_id}-{at_s}"
    return Exchange(
        name, version_id, name, at_s, True, False, refused, latency_s, int(rng.integers(20, 60)), sketch(words)
    )


def week(charts: Charts, version_id: str, start: datetime, hours: int, rng: np.random.Generator, **how: float) -> None:
    for minute in range(hours * 60):
        at_s = start.timestamp() + 60 * minute
        charts.take(exchange(at_s, version_id, rng, **how))
        charts.take_rating(version_id, Rating("x", at_s, float(rng.random() < 0.8)))


def test_a_version_that_refuses_more_than_the_one_before_is_told_once_a_day() -> None:
    rng, charts, replaced = np.random.default_rng(5), Charts(SETTINGS), {"new": "old"}
    week(charts, "old", START, 30, rng)
    assert charts.alerts(replaced, START + timedelta(hours=30)) == []
    week(charts, "new", START + timedelta(hours=30), 6, rng, refuses=0.4)
    told = charts.alerts(replaced, START + timedelta(hours=36))
    assert [(one.version_id, one.measure) for one in told] == [("new", "refusals")]
    assert 0.2 < told[0].value < 0.6 and told[0].normal < 0.1
    assert told[0].text.startswith("refusal share of new is 0.")
    assert charts.alerts(replaced, START + timedelta(hours=36)) == []
    week(charts, "new", START + timedelta(hours=36), 2, rng, refuses=0.4)
    again = charts.alerts(replaced, START + timedelta(hours=38))
    assert [one.id for one in again] == [told[0].id]


def test_what_a_promotion_may_change_is_compared_with_the_version_itself() -> None:
    rng, charts = np.random.default_rng(6), Charts(SETTINGS)
    week(charts, "old", START, 30, rng)
    for minute in range(6 * 60):
        at_s = (START + timedelta(hours=30)).timestamp() + 60 * minute
        charts.take(
            Exchange(f"n{minute}", "new", f"n{minute}", at_s, True, False, False, 1.0, 400, sketch("other words"))
        )
    assert charts.alerts({"new": "old"}, START + timedelta(hours=36)) == []


def test_a_window_waits_until_it_is_long_and_full_enough() -> None:
    chart = Chart("errors", length_s=3600, least=30)
    for place in range(200):
        chart.add(60.0 * place, 0.0)
    assert [one.n for one in chart.windows] == [60, 60, 60]
    sparse = Chart("errors", length_s=3600, least=30)
    for place in range(65):
        sparse.add(3600.0 * place, 0.0)
    assert [one.n for one in sparse.windows] == [30, 30]


def test_a_broken_off_exchange_is_in_no_window() -> None:
    charts = Charts(SETTINGS)
    for minute in range(200):
        charts.take(Exchange(f"n{minute}", "v", "s", 60.0 * minute, False, False, False, 1.0, 4))
    assert charts.latest({}) == []


def test_a_histogram_of_a_sketch_says_shares_and_no_words() -> None:
    found = histogram(sketch("yes yes no"))
    assert sorted(found[found > 0]) == pytest.approx([1 / 3, 2 / 3])
    assert histogram(b"").sum() == 0
    assert len(sketch("word " * 500)) == 128


# -- from the store ----------------------------------------------------------------------------------------------------


def record(store: Store, at: datetime, *, reply: str = "fine", version_id: str = "ver_0", **fields: object) -> Trace:
    trace = Trace.model_validate(
        {"id": f"trc_{int(at.timestamp() * 1000):012x}{os.urandom(5).hex()}", "at": at, "reply": reply,
         "messages": (Message(role="user", content="?"),), "version_id": version_id, "finish_reason": "stop",
         "completion_tokens": 7, "latency_s": 0.2} | fields
    )  # fmt: skip
    store.append(trace)
    return trace


def test_live_reads_what_is_new_once(any_store: Store) -> None:
    now = datetime.now(UTC)
    record(any_store, now - timedelta(hours=2))
    live = Live(any_store, now - timedelta(hours=1))
    one = record(any_store, now, session="s", reply="I'm sorry, but I can't help with that.")
    any_store.append(
        Feedback(id="fbk_1", trace_id=one.id, rating=-0.5), Feedback(id="fbk_2", trace_id=one.id, comment="?")
    )
    exchanges, ratings = live.refresh()
    assert [(each.id, each.session, each.is_refusal, each.tokens) for each in exchanges] == [(one.id, "s", True, 7)]
    assert [(each.trace_id, each.value) for each in ratings] == [(one.id, 0.25)]
    two = record(any_store, now, error="boom", finish_reason="error")
    any_store.append(Feedback(id="fbk_3", trace_id=two.id, correction="better"))
    exchanges, ratings = live.refresh()
    assert [(each.id, each.has_failed, each.is_refusal) for each in exchanges] == [(two.id, True, False)]
    assert [each.value for each in ratings] == [0.0]
    assert live.refresh() == ([], [])


def test_imported_exchanges_are_left_out(sqlite_store: Store) -> None:
    record(sqlite_store, datetime.now(UTC), id="trc_" + "f" * 32)
    live = Live(sqlite_store, datetime.now(UTC) - timedelta(hours=1))
    assert live.refresh() == ([], [])


def test_before_returns_the_champion_s_last_answers(any_store: Store) -> None:
    now = datetime.now(UTC)
    names = [record(any_store, now - timedelta(minutes=minute)).id for minute in (3, 2, 1)]
    record(any_store, now - timedelta(minutes=1), version_id="ver_1")
    record(any_store, now + timedelta(minutes=1))
    assert {one.id for one in before(any_store, now, "ver_0", 100)} == set(names)


def test_a_watch_finds_in_the_store_that_replies_became_refusals(sqlite_store: Store) -> None:
    settings = MonitoringSection(window_minutes=1, min_window=10, reference=10)
    now = datetime.now(UTC)
    sqlite_store.append(Deployment(id="dep_0", version_id="ver_0", shares={"ver_0": 1.0}, reason="a test"))
    traces = []
    for place in range(200):
        at = now - timedelta(seconds=(200 - place) * 6)
        reply = "I'm sorry, but I can't help with that." if place >= 150 else f"answer {place % 7}"
        traces.append(record(sqlite_store, at, reply=reply))
    watch = Watch(sqlite_store, settings)
    told = watch.look(now)
    assert "refusals" in {one.measure for one in told}
    assert watch.look(now) == []
    assert {one.measure for one in watch.latest()} == {"errors", "refusals", "latency", "length", "wording"}
