from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharpen.gateway import limits

Start = Callable[..., Any]
JSON = {"content-type": "application/json"}


def in_pieces(size: int) -> Iterator[bytes]:
    for _ in range(0, size, 1000):
        yield b" " * 1000


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback", "/nowhere"])
def test_a_body_that_is_too_long_is_a_413_whether_it_says_its_length_or_not(start: Start, path: str) -> None:
    served = start(gateway={"max_body_bytes": 2000})
    for content in (b" " * 2001, b" " * 100_000, in_pieces(10_000)):
        response = served.http.post(path, content=content, headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
    assert served.chat(user="x" * 100).status_code == 200


def test_a_body_that_does_not_come_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_READ_S", 0.2)
    served = start()
    with socket.create_connection(("127.0.0.1", served.http.base_url.port), timeout=10) as slow:
        slow.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        assert b" 408 " in slow.recv(4096).splitlines()[0]


def test_more_requests_at_once_than_there_is_room_for_get_a_429_and_room_comes_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharpen.gateway.app._ROOM_FOR_FEEDBACK", 0)
    served = start(gateway={"max_waiting": 1}, models={"max_rows": 1})
    held = [socket.create_connection(("127.0.0.1", served.http.base_url.port)) for _ in range(2)]
    for connection in held:
        connection.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
    deadline = time.monotonic() + 10
    while (refused := served.chat()).status_code != 429:
        assert time.monotonic() < deadline
    assert refused.json()["error"]["code"] == "overloaded"
    assert served.http.get("/healthz").status_code == 200
    for connection in held:
        connection.close()
    while served.chat().status_code != 200:
        assert time.monotonic() < deadline


def test_many_clients_that_hang_up_early_leave_no_one_inside(start: Start) -> None:
    served = start()

    def hang_up() -> None:
        with socket.create_connection(("127.0.0.1", served.http.base_url.port)) as connection:
            connection.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")

    threads = [threading.Thread(target=hang_up) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert served.chat().status_code == 200


@pytest.mark.parametrize(
    "body", ['{"messages": %s, "user": "a", "user": "b"}', '{"messages": %s, "x": {"y": 1, "y": 1}}']
)
def test_a_field_that_is_given_twice_is_named(start: Start, body: str) -> None:
    response = start().http.post(
        "/v1/chat/completions", content=body % '[{"role": "user", "content": "hi"}]', headers=JSON
    )
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "duplicate_field")
    assert error["param"] in ("user", "y")
