"""While a server runs: a harmful canary goes back, a good one goes on, what drifted is told, and no fault stops it."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sharpen.config import Config, parse
from sharpen.errors import StoreError
from sharpen.gateway.steward import Steward, embedding
from sharpen.promotion.journal import Journal
from sharpen.promotion.registry import enter, register_base
from sharpen.promotion.rollout import on_its_way, ship
from sharpen.records import Message, ModelVersion, Trace, Verdict
from sharpen.store import Store
from sharpen.tables import ALERTS
from tests.monitoring.test_outbox import Receiver, receiver
from tests.promotion.test_rollout import healthy, live

__all__ = ["receiver"]


def settings(home: Path, **monitoring: object) -> Config:
    return parse(
        {
            "home": str(home),
            "rollout": {"min_requests": 20, "min_ratings": 10},
            "monitoring": {"look_s": 0.05, "window_minutes": 1.0, "min_window": 10, "reference": 10} | monitoring,
        }
    )


def with_canary(store: Store, home: Path) -> str:
    """Begin a rollout of ver_1 beside the base, in the journal of this home; return the base's id."""
    journal = Journal.open(home)
    base = register_base(store, journal, "tiny", "b1", "t1").id
    store.append(ModelVersion(id="ver_1", base="tiny", base_digest="b1", adapter_digest="a1", template_digest="t1"))
    verdict = Verdict(
        id="vdt_1", cycle_id="c1", champion_id=base, challenger_id="ver_1", comparisons=(), alpha_spent=0.01,
        attempt=1, decision="promote", reason="Promote: better.",
    )  # fmt: skip
    enter(store, journal, verdict)
    ship(store, journal, verdict, "ver_1", canary=True)
    return base


def share_of(store: Store) -> float:
    found = on_its_way(store)
    return found.share if found else 0.0


def test_a_look_moves_a_healthy_canary_on_and_only_once(sqlite_store: Store, tmp_path: Path) -> None:
    base = with_canary(sqlite_store, tmp_path)
    healthy(sqlite_store, base)
    steward = Steward(settings(tmp_path), sqlite_store)
    steward.look()
    assert share_of(sqlite_store) == 0.25
    steward.look()  # what was seen at the earlier share does not count again
    assert share_of(sqlite_store) == 0.25


def test_a_running_steward_takes_a_harmful_canary_back_by_itself(
    sqlite_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = with_canary(sqlite_store, tmp_path)
    for _ in range(60):
        live(sqlite_store, base, 1, 1.0)
        live(sqlite_store, "ver_1", 1, -1.0)
    steward = Steward(settings(tmp_path), sqlite_store)
    steward.start()
    deadline = time.monotonic() + 30
    while share_of(sqlite_store) and time.monotonic() < deadline:
        time.sleep(0.02)
    steward.stop()
    assert on_its_way(sqlite_store) is None
    assert sqlite_store.champion().version_id == base
    assert any("Rolled back" in one for one in caplog.messages)


def drifted(store: Store) -> None:
    """Record 20 minutes of answers of which the last five are refusals."""
    now = datetime.now(UTC)
    for place in range(200):
        at = now - timedelta(seconds=(200 - place) * 6)
        reply = "I'm sorry, but I can't help with that." if place >= 150 else f"answer {place % 7}"
        live(store, store.champion().version_id, 1, None, reply=reply, at=at)


def test_a_drift_is_told_to_the_webhook_and_a_quiet_time_is_not(
    sqlite_store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    register_base(sqlite_store, Journal.open(tmp_path), "tiny", "b1", "t1")
    steward = Steward(settings(tmp_path, webhook=receiver.url), sqlite_store)
    steward.look()
    assert receiver.got == []
    drifted(sqlite_store)
    steward.look()
    assert any("refusal" in body for _, _, body in receiver.got)
    told = len(receiver.got)
    steward.look()
    assert len(receiver.got) == told


def test_a_part_that_fails_is_logged_and_the_others_go_on(
    sqlite_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_base(sqlite_store, Journal.open(tmp_path), "tiny", "b1", "t1")
    drifted(sqlite_store)
    steward = Steward(settings(tmp_path), sqlite_store)

    def gone(*_: object, **__: object) -> None:
        raise StoreError("the disk is away", "look for it")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    for fault, said in ((gone, "the disk is away"), (broken, "monitoring failed")):
        monkeypatch.setattr("sharpen.promotion.rollout.Pilot.look", fault)
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            steward.look()
        assert [said in one for one in caplog.messages] == [True]
    with sqlite_store.reading() as connection:
        assert connection.execute(ALERTS.select()).fetchall()  # the watch looked all the same


def test_it_stops_before_it_was_started_and_twice(sqlite_store: Store, tmp_path: Path) -> None:
    register_base(sqlite_store, Journal.open(tmp_path), "tiny", "b1", "t1")
    steward = Steward(settings(tmp_path), sqlite_store)
    steward.stop()
    steward.stop()


def test_replies_are_embedded_by_their_exchange_and_those_without_words_left_out(
    sqlite_store: Store, tmp_path: Path
) -> None:
    for name, reply in (("trc_1", "the parcel is late"), ("trc_2", None), ("trc_3", "the parcel is late")):
        sqlite_store.append(
            Trace(id=name, messages=(Message(role="user", content="?"),), reply=reply, version_id="ver_0", session="s")
        )
    vectors = embedding(settings(tmp_path), sqlite_store)(["trc_1", "trc_2", "trc_3"])
    assert set(vectors) == {"trc_1", "trc_3"}
    assert np.allclose(vectors["trc_1"], vectors["trc_3"])
    assert vectors["trc_1"].shape == (384,)
