from __future__ import annotations

from collections.abc import Callable
from typing import Any

Start = Callable[..., Any]


def test_health_says_who_answers_and_how_much_waits(start: Start) -> None:
    health = start().http.get("/healthz").json()
    expected = {"state": "ready", "champion": "ver_0", "loaded": ["ver_0"], "waiting": 0, "running": 0, "error": None}
    assert health == expected


def test_unknown_paths_and_methods_are_told_in_the_same_shape(start: Start) -> None:
    served = start()
    for method, path, status in [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/feedback", 405),
        ("POST", "/v1/completions", 404),
        ("GET", "/v1/../etc/passwd", 404),
        ("GET", "/%00", 404),
    ]:
        response = served.http.request(method, path)
        assert response.status_code == status, path
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(start: Start) -> None:
    served = start()

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of the inside")

    served.store.find = broken
    response = served.http.get("/v1/models")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text
