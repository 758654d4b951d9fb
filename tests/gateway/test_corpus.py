"""Every case of the bad-input corpus against one live gateway, and a table of what it answered."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from sharpen.capture.saying import trace_id_of
from sharpen.store import Store
from sharpen.tables import metadata
from tests.conformance import tell

Start = Callable[..., Any]
FILES = sorted((Path(__file__).parent / "corpus").glob("*.jsonl"))
CASES = {file.stem: [json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in FILES}
SLOWEST_S, MOST_GROWTH = 2.0, 50 * 2**20
CLOSED = 0  # the connection was closed without an answer, which is one to bytes that are not HTTP
NAMES = {name: trace_id_of(name) for name in ("there", "twin", "other")}


def filled(text: str) -> str:
    for name, trace_id in NAMES.items():
        text = text.replace(f"${{{name}}}", trace_id)
    return text


def body_of(case: dict[str, Any]) -> bytes:
    if "base64" in case:
        return base64.b64decode(case["base64"])
    if "repeat" in case:
        before, unit, times, after = case["repeat"]
        return filled(before + unit * times + after).encode()
    return filled(case.get("text", "")).encode()


def sent_raw(port: int, case: dict[str, Any]) -> tuple[int, bool]:
    """Return the status of the first answer to raw bytes, and whether it has the shape of an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=SLOWEST_S + 1) as connection:
        try:
            connection.sendall(base64.b64decode(case["raw"]).replace(b"PADDING", b"a" * case.get("padding", 0)))
            if case.get("half_close"):
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except ConnectionError:
            return CLOSED, True
    return (int(answer.split()[1]), True) if answer else (CLOSED, True)


def sent(served: Any, case: dict[str, Any]) -> tuple[int, bool]:
    """Return the status, and whether the body has the shape of an error."""
    headers = {"content-type": "application/json"} | case.get("headers", {})
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    response = served.http.request(case.get("method", "POST"), case["path"], content=body_of(case), headers=raw)
    try:
        shaped = set(response.json()["error"]) == {"message", "type", "param", "code"}
    except (ValueError, KeyError, TypeError):
        shaped = False
    return response.status_code, shaped


def state(store: Store) -> dict[str, list[Any]]:
    with store.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in metadata.sorted_tables
        }


def prepared(served: Any) -> None:
    for name, words in (("there", "same"), ("twin", "same"), ("other", "else")):
        body = {"messages": [{"role": "user", "content": words}]}
        answer = served.http.post("/v1/chat/completions", json=body, headers={"x-sharpen-exchange": name})
        assert answer.status_code == 200
    said = {"trace_id": NAMES["there"], "rating": 1, "id": "said", "source": "person"}
    assert served.http.post("/v1/feedback", json=said).status_code == 200


def test_there_are_hundreds_of_cases_and_no_mechanism_fills_them() -> None:
    assert sum(map(len, CASES.values())) >= 900
    mechanisms = Counter((name, case["mechanism"]) for name, cases in CASES.items() for case in cases)
    assert max(mechanisms.values()) <= 5


@pytest.mark.parametrize("category", sorted(CASES))
def test_bad_input_is_a_4xx_and_changes_nothing(
    category: str, start: Start, record_property: Callable[[str, object], None]
) -> None:
    served = start()
    prepared(served)
    before, memory = state(served.store), psutil.Process().memory_info().rss
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    slowest = 0.0
    for case in CASES[category]:
        began = time.perf_counter()
        try:
            status, shaped = sent_raw(served.http.base_url.port, case) if "raw" in case else sent(served, case)
        except TimeoutError:
            status, shaped = -1, False
        took = time.perf_counter() - began
        slowest = max(slowest, took)
        statuses[status] += 1
        if not shaped or not (400 <= status < 500 or (status == CLOSED and "raw" in case)) or took > SLOWEST_S:
            wrong.append(f"{case['id']} {case['mechanism']}: {status} in {took:.2f} s")
    growth = psutil.Process().memory_info().rss - memory
    assert wrong == []
    assert state(served.store) == before
    assert growth <= MOST_GROWTH
    answered = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(statuses.items()))
    line = f"{category:12} {len(CASES[category]):4} cases  slowest {slowest:.2f} s  grew {growth / 2**20:5.1f} MB"
    tell(record_property, "bad input at the gateway", f"{line}  {answered}")
    assert served.http.get("/healthz").status_code == 200
