"""An alert arrives, signed, whatever happens on the way; and nothing but the configuration says where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from sharpen.config import MonitoringSection
from sharpen.errors import ConfigError
from sharpen.monitoring.outbox import Outbox, signature
from sharpen.monitoring.watch import Alert
from sharpen.store import Store
from sharpen.tables import ALERTS

KEY = "a webhook's key of some length"


class Receiver:
    """A real HTTP server on loopback that says what it is told to say."""

    def __init__(self) -> None:
        self.status = 204
        self.location = ""
        self.got: list[tuple[str, dict[str, str], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                outer.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("location", outer.location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("SHARPEN_WEBHOOK_KEY", KEY)
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def alert(name: str = "alt_1") -> Alert:
    return Alert(
        name, "2026-01-01T00:00:00+00:00", "ver_1", "refusals", 0.4, 0.02, 1e-9, 60, "a", "b", f"{name}: refusals"
    )


def outbox(store: Store, receiver: Receiver) -> Outbox:
    return Outbox(store, MonitoringSection(webhook=receiver.url))


def test_an_alert_is_sent_once_and_signed(
    any_store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    mine = outbox(any_store, receiver)
    assert [one.id for one in mine.put([alert(), alert()])] == ["alt_1"]
    assert mine.put([alert()]) == []
    assert caplog.text.count("alt_1: refusals") == 1
    assert (mine.deliver(), mine.deliver(), mine.waiting()) == (1, 0, 0)
    [(path, headers, body)] = receiver.got
    assert path == "/hook?token=secret"
    assert json.loads(body) == alert().as_dict()
    assert headers["x-sharpen-id"] == "alt_1"
    assert headers["x-sharpen-signature"] == signature(KEY.encode(), headers["x-sharpen-time"], body)


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_a_receiver_that_says_no_is_asked_again_later(sqlite_store: Store, receiver: Receiver, status: int) -> None:
    mine = outbox(sqlite_store, receiver)
    mine.put([alert()])
    receiver.status = status
    now = 4_000_000_000.0
    assert mine.deliver(now) == 0
    assert mine.deliver(now + 29) == 0
    assert (len(receiver.got), mine.waiting()) == (1, 1)
    receiver.status = 200
    assert mine.deliver(now + 31) == 1
    assert (len(receiver.got), mine.waiting()) == (2, 0)


def test_the_wait_doubles_up_to_an_hour(sqlite_store: Store, receiver: Receiver) -> None:
    mine = outbox(sqlite_store, receiver)
    mine.put([alert()])
    receiver.status, now, waits = 500, 4_000_000_000.0, []
    for _ in range(10):
        mine.deliver(now)
        with sqlite_store.reading() as connection:
            due_s = float(connection.execute(sa.select(ALERTS.c.due_s)).scalar_one())
        waits.append(due_s - now)
        now = due_s
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert len(receiver.got) == 10


def test_a_redirect_is_not_followed(sqlite_store: Store, receiver: Receiver) -> None:
    mine, other = outbox(sqlite_store, receiver), Receiver()
    receiver.status, receiver.location = 307, other.url
    mine.put([alert()])
    assert mine.deliver() == 0
    assert other.got == []
    other.server.shutdown()
    other.server.server_close()


def test_a_receiver_that_is_away_costs_nothing_but_time(
    sqlite_store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    mine = outbox(sqlite_store, receiver)
    receiver.server.shutdown()
    receiver.server.server_close()
    mine.put([alert()])
    assert (mine.deliver(), mine.waiting()) == (0, 1)
    assert "did not arrive" in caplog.text
    assert "secret" not in caplog.text


def test_without_an_address_alerts_are_logged_and_kept(sqlite_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    mine = Outbox(sqlite_store, MonitoringSection())
    mine.put([alert()])
    assert (mine.deliver(), mine.waiting()) == (0, 1)
    assert "alt_1: refusals" in caplog.text


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host/x", "host/path", "http://", "gopher://host"])
def test_an_address_that_is_none_is_refused(sqlite_store: Store, receiver: Receiver, address: str) -> None:
    with pytest.raises(ConfigError, match="webhook is not an address"):
        Outbox(sqlite_store, MonitoringSection(webhook=address))


def test_without_a_key_nothing_is_sent(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_WEBHOOK_KEY", "short")
    with pytest.raises(ConfigError, match=r"(?s)needs a key.*export SHARPEN_WEBHOOK_KEY"):
        Outbox(sqlite_store, MonitoringSection(webhook="https://host/x"))


def test_two_servers_send_an_alert_once(any_store: Store, receiver: Receiver) -> None:
    boxes = [outbox(any_store, receiver) for _ in range(4)]
    boxes[0].put([alert(f"alt_{place}") for place in range(5)])
    threads = [threading.Thread(target=box.deliver) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(headers["x-sharpen-id"] for _, headers, _ in receiver.got) == [f"alt_{place}" for place in range(5)]
    assert boxes[0].waiting() == 0


@pytest.mark.faults
@pytest.mark.parametrize(
    ("place", "written", "times"),
    [("alert.before_commit", 0, 1), ("alert.before_send", 1, 1), ("alert.after_send", 1, 2)],
)
def test_a_kill_loses_no_alert(
    sqlite_store: Store, sqlite_url: str, receiver: Receiver, place: str, written: int, times: int
) -> None:
    script = f"""
from sharpen.config import MonitoringSection
from sharpen.monitoring.outbox import Outbox
from sharpen.monitoring.watch import Alert
from sharpen.store import Store
box = Outbox(Store.open({sqlite_url!r}), MonitoringSection(webhook={receiver.url!r}))
box.put([Alert("alt_1", "", "ver_1", "refusals", 0.4, 0.02, 1e-9, 60, "a", "b", "refusals")])
box.deliver()
"""
    env = os.environ | {"SHARPEN_FAILPOINT": place}
    assert subprocess.run([sys.executable, "-c", script], env=env, check=False).returncode == -signal.SIGKILL
    mine = outbox(sqlite_store, receiver)
    assert mine.waiting() == written
    mine.put([alert()])  # the next look finds the same thing
    assert mine.deliver(4_000_000_000.0) == 1
    assert (mine.waiting(), len(receiver.got)) == (0, times)
