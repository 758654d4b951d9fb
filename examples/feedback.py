"""Feedback from a program: said once, sent again when the answer is lost, written once.

say = Feedback("http://127.0.0.1:8377/v1")
say(trace_id=answer.id, thumb="down", correction="391", source="ada")
say(exchange="ticket-4711", signal="sent", sent="Dear Ada, it ships today.")
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx

TRIES, FIRST_WAIT_S = 5, 0.5


class Feedback:
    """Sends to one gateway."""

    def __init__(self, base_url: str, key: str | None = None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=10)

    def __call__(self, **said: Any) -> dict[str, Any]:
        """Say it; return what the gateway answered. Raises: httpx.HTTPError when it was refused or never answered."""
        said.setdefault("id", str(uuid.uuid4()))  # the same id in every try: it is written once
        for attempt in range(TRIES):
            try:
                answer = self._client.post("/feedback", json=said)
            except httpx.TransportError:
                if attempt == TRIES - 1:
                    raise
            else:
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS and answer.status_code < 500:
                    return dict(answer.raise_for_status().json())
                if attempt == TRIES - 1:
                    answer.raise_for_status()
            time.sleep(FIRST_WAIT_S * 2**attempt)
        raise AssertionError("not reached")
