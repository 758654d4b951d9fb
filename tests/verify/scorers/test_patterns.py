from __future__ import annotations

import json
import socket
import time

import pytest

from sharpen.verify.scorers import find_scorer, grade


def score(name: str, reply: str, reference: str) -> tuple[float | None, str | None]:
    return grade(find_scorer(name), reply, reference)


def test_a_pattern_is_searched_and_anchors_ask_for_the_whole() -> None:
    assert score("pattern", "order 4711 shipped", r"\b\d{4}\b") == (1.0, None)
    assert score("pattern", "yes, sir", r"\Ayes\Z") == (0.0, None)


def test_a_pattern_that_explodes_is_stopped_and_unscored() -> None:
    start = time.monotonic()
    value, reason = score("pattern", "a" * 60 + "b", r"\A(a|a|aa)+\Z")
    assert value is None and reason and "more than 1 s" in reason
    assert time.monotonic() - start < 5


def test_a_broken_pattern_is_the_suites_fault() -> None:
    value, reason = score("pattern", "x", "(")
    assert value is None and reason and "no regular expression" in reason


SCHEMA = json.dumps({"type": "object", "required": ["age"], "properties": {"age": {"type": "integer", "minimum": 0}}})


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"age": 3}', 1.0),
        ('Here:\n```json\n{"age": 3}\n```', 1.0),
        ('{"age": -3}', 0.0),
        ('{"age": "3"}', 0.0),
        ("{}", 0.0),
        ("age: 3", 0.0),
        ('{"age": NaN}', 0.0),
        ("[" * 100_000, 0.0),
        ("", 0.0),
    ],
)
def test_a_reply_keeps_to_the_schema_or_not(reply: str, value: float) -> None:
    assert score("json_schema", reply, SCHEMA) == (value, None)


@pytest.mark.parametrize("schema", ["not json", '{"type": 7}', '{"patternProperties": {"(a+)+$": {}}}'])
def test_a_wrong_schema_is_unscored(schema: str) -> None:
    assert score("json_schema", "{}", schema)[0] is None


def test_a_schema_cannot_make_us_fetch_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        schema = json.dumps({"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"})
        value, reason = score("json_schema", "{}", schema)
        assert value is None and reason and "outside of it" in reason
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_pattern_inside_a_schema_is_bounded_too() -> None:
    schema = json.dumps({"type": "string", "pattern": r"^(a|a|aa)+$"})
    assert score("json_schema", json.dumps("aaa"), schema) == (1.0, None)
    assert score("json_schema", json.dumps("b"), schema) == (0.0, None)
    assert score("json_schema", json.dumps("a" * 60 + "b"), schema)[0] is None
