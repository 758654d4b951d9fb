"""Who may ask: anyone on this machine, or whoever knows the key.

In: the environment, and each request's headers. Out: the request goes on, or 401 or 403. Must not know the routes.

Without a key the server listens on loopback alone and answers to loopback names alone, so that a web page whose own
name is made to point at this machine (DNS rebinding) gets nothing. With a key every route but health needs it.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sharpen.config import GatewaySection
from sharpen.errors import Refused
from sharpen.gateway.faults import Fault

_SHORTEST_KEY = 16  # chosen: 16 random letters are about 75 bits
_OPEN = ("/healthz", "/readyz")
_PORT = re.compile(r":\d+$")
_MAKE_A_KEY = "export {}=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"


def key_for(settings: GatewaySection) -> str | None:
    """Return the key from the environment, or None when there is none and none is needed.

    Raises: Refused when the key is short, or is missing while others than this machine could connect.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    remedy = _MAKE_A_KEY.format(settings.api_key_env)
    if key and len(key) < _SHORTEST_KEY:
        raise Refused(f"The key in {settings.api_key_env} is shorter than {_SHORTEST_KEY} characters.", remedy)
    if not key and not is_loopback(settings.host):
        raise Refused(f"Listening on {settings.host} without a key would let anyone in.", remedy)
    return key or None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware: lets a request through, or answers 401 or 403 before its body is read."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app = app
        self._key = key.encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        fault = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await fault.response()(scope, receive, send)

    def _refusal(self, scope: Scope) -> Fault | None:
        headers = Headers(scope=scope)
        if self._key is None:
            host = headers.get("host", "").lower()
            if is_loopback(_PORT.sub("", host).strip("[]")):
                return None
            return Fault(403, "Without a key this server answers to localhost alone.", code="wrong_host")
        if scope["path"] in _OPEN:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._key):
            return None
        message = "This server needs a key: send the header 'Authorization: Bearer KEY'."
        return Fault(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
