from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from sharpen.config import GatewaySection
from sharpen.errors import Refused
from sharpen.gateway.auth import key_for

Start = Callable[..., Any]
KEY = "a-key-of-enough-letters"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_others_cannot_connect_without_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARPEN_API_KEY", raising=False)
    with pytest.raises(Refused, match="without a key") as caught:
        key_for(GatewaySection(host=host))
    assert caught.value.next_step.startswith("export SHARPEN_API_KEY=")
    monkeypatch.setenv("SHARPEN_API_KEY", KEY)
    assert key_for(GatewaySection(host=host)) == KEY


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_API_KEY", "")
    assert key_for(GatewaySection(host=host)) is None


def test_a_short_key_is_refused_even_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_NAME", "x" * 15)
    with pytest.raises(Refused, match="OTHER_NAME"):
        key_for(GatewaySection(api_key_env="OTHER_NAME"))


def test_with_a_key_every_route_but_health_needs_it(start: Start) -> None:
    served = start(key=KEY)
    wrong = ["", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, "Bearer \xe9\xff"]
    for method, path in [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/feedback"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/sharpen"),
        ("GET", "/anything"),
    ]:
        for header in wrong:
            response = served.http.request(method, path, headers={"authorization": header.encode("latin-1")})
            assert response.status_code == 401, (path, header)
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz"):
        assert served.http.get(path, headers={"authorization": ""}).status_code == 200
    assert served.http.get("/v1/models").status_code == 200


def test_the_official_client_passes_with_the_key_and_not_with_another(start: Start) -> None:
    served = start(key=KEY)
    assert served.client.models.list().data[0].id == "sharpen"
    with pytest.raises(openai.AuthenticationError):
        served.client.with_options(api_key="another-key-entirely").models.list()


def test_without_a_key_a_page_that_borrows_our_address_gets_nothing(start: Start) -> None:
    served = start()
    for host in ("evil.example", "evil.example:8377", "127.0.0.1.evil.example", "localhost.evil.example:80"):
        assert served.http.get("/v1/models", headers={"host": host}).status_code == 403
    for host in ("localhost:8377", "LOCALHOST", "127.0.0.1:1", "[::1]:8377"):
        assert served.http.get("/v1/models", headers={"host": host}).status_code == 200


def test_no_other_origin_is_invited(start: Start) -> None:
    served = start()
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    response = served.http.options("/v1/feedback", headers=preflight)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]
