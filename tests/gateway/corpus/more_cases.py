"""More of the corpus: what OpenAI's schema forbids, text, paths, queries, envelopes, feedback.

In: nothing. Out: cases, as `make_corpus` describes them. Must not know how the gateway judges a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.gateway.corpus.make_corpus import FEEDBACK, Case, case, field

_NOT_TEXT: tuple[Any, ...] = (1, True, 1.5, {"a": 1}, ["x"])
_NOT_NUMBER: tuple[Any, ...] = ("1", True, [1], {"a": 1}, "")
_NOT_WHOLE: tuple[Any, ...] = ("1", 1.5, [1], {"a": 1}, True)
_NOT_BOOL: tuple[Any, ...] = ("true", 1, 0.5, [True], {"a": True})


def schema() -> Iterator[Case]:
    """C: fields of a completion that are of the wrong type, out of range, or cannot be honoured."""
    yield from field("wrong type:", "messages", [1, "hi", {"role": "user", "content": "hi"}, None, True])
    yield from field("wrong entry:", "messages", [[1], ["hi"], [None], [[]], [{}]])
    yield from field("empty:", "messages", [[]])
    hi = {"role": "user", "content": "hi"}
    yield case("too many messages", repeat=['{"messages": [', '{"role":"user","content":"x"},', 2000, "{}]}"])
    roles: list[Any] = ["", "User", "root", "tool", "function"]
    yield from field("unknown role:", "messages", [[{"role": role, "content": "hi"}] for role in roles])
    yield from field(
        "role's type:", "messages", [[{"role": role, "content": "hi"}] for role in (1, None, [], {}, True)]
    )
    contents: list[Any] = [1, None, True, {"text": "x"}, 1.5]
    yield from field("content's type:", "messages", [[{"role": "user", "content": one}] for one in contents])
    parts: list[Any] = [["x"], [1], [None], [{}], [[]]]
    yield from field("part's shape:", "messages", [[{"role": "user", "content": one}] for one in parts])
    for kind in ("image_url", "input_audio", "file", "refusal", "video_url"):
        part = {"type": kind, kind: {"url": "http://127.0.0.1:1/x", "data": "AAAA"}}
        yield case("part that is not text", {"messages": [{"role": "user", "content": [part]}]})
    for part in (
        {"type": "text"},
        {"text": "x"},
        {"type": "text", "text": 1},
        {"type": 1, "text": "x"},
        {"type": "TEXT"},
    ):
        yield case("part without its words", {"messages": [{"role": "user", "content": [part]}]})
    yield from field(
        "missing in a message:", "messages", [[{"role": "user"}], [{"content": "x"}], [hi, {}], [{"a": 1}]]
    )
    for body in ({}, {"model": "sharpen"}, {"prompt": "hi"}, {"Messages": []}):
        yield case("no messages", body)
    for name in ("model", "user"):
        yield from field("wrong type:", name, _NOT_TEXT)
    yield from field("unknown:", "model", ["gpt-4", "SHARPEN", "ver_", "ver_0 ", "sharpen\n"])
    yield from field("length of", "model", ["", "m" * 129, "m" * 10_000])
    yield from field("length of", "user", ["u" * 129, "u" * 10_000])
    for name in ("max_tokens", "max_completion_tokens", "seed"):
        yield from field("wrong type:", name, _NOT_WHOLE)
    for name in ("max_tokens", "max_completion_tokens"):
        yield from field("too small:", name, [0, -1, -(2**31), -(2**63), -(10**30)])
        yield from field("too large:", name, [10**6, 2**31, 2**63, 10**30, 10**300])
    yield from field("out of range:", "seed", [2**63, -(2**63) - 1, 10**30, -(10**30), 2**64])
    yield from field("wrong type:", "temperature", _NOT_NUMBER)
    yield from field("wrong type:", "top_p", _NOT_NUMBER)
    yield from field("out of range:", "temperature", [-0.1, 2.01, 100, -1e308, 1e308])
    yield from field("out of range:", "top_p", [0, -0.5, 1.01, 1e308, -1e308])
    yield from field("wrong type:", "stop", [1, True, {"a": 1}, 1.5, [1]])
    yield from field("wrong entry:", "stop", [[None], [["x"]], [{}], ["a", 1], [True]])
    yield from field("length of", "stop", ["", [""], ["a"] * 5, "x" * 257, ["x" * 10_000]])
    yield from field("wrong type:", "stream", _NOT_BOOL)
    yield from field("wrong type:", "stream_options", [1, "x", [], True, {"include_usage": "yes"}])
    unsupported: dict[str, list[Any]] = {
        "audio": [{"voice": "x"}, 1, "x", [1], True],
        "frequency_penalty": [0.5, -2, "0", [0], 1e308],
        "presence_penalty": [0.5, -2, "0", [0], 1e308],
        "function_call": ["auto", {"name": "x"}, 1, [], "any"],
        "functions": [[{"name": "x"}], 1, "x", {"a": 1}, [None]],
        "tools": [[{"type": "function", "function": {"name": "x"}}], [{}], 1, "x", [None]],
        "tool_choice": ["required", {"type": "function"}, 1, [], "any"],
        "logit_bias": [{"1": 100}, {"-1": 0}, [1], "x", {"x": "y"}],
        "logprobs": [True, 1, "true", [], {}],
        "top_logprobs": [5, 10**9, -1, "5", [5]],
        "modalities": [["audio"], ["text", "audio"], "text", 1, {}],
        "n": [2, 128, 10**9, -1, 0],
        "reasoning_effort": ["high", "low", 1, [], {}],
        "response_format": [{"type": "json_object"}, {"type": "json_schema"}, {"type": 1}, "json", []],
        "verbosity": ["high", 1, [], {}, True],
        "web_search_options": [{"a": 1}, 1, "x", [1], True],
    }
    for name, values in unsupported.items():
        yield from field("not supported:", name, values)


def text() -> Iterator[Case]:
    """D: text that a database or tokenizer cannot hold, and names that look like others."""
    odd = {
        "half of a pair": ["\ud800", "\udc00", "a\ud83d", "\ude00b", "\udbff\ud800"],
        "NUL": ["\x00", "a\x00", "\x00b", "a\x00b", "\x00\x00"],
    }
    names = odd | {
        "bidi": ["\u202ea", "a\u202d", "\u2066x\u2069", "\u200fx", "a\u061c"],
        "zero width": ["\u200b", "a\u200bb", "\u200d", "\u2060", "\ufeffa"],
        "control": ["\x01", "a\x1b[31m", "\x7f", "\r\n", "\x85"],
        "space that is none": ["\u00a0", "\u2003", "\u3000", "\u2028", "\u2029"],
        "no character": ["\ufffe", "\uffff", "\U0001ffff", "\U0010ffff", "\ufdd0"],
        "tag": ["\U000e0001", "\U000e0061", "a\U000e007f", "\ue000", "\U000f0000"],
        "look-alike of a known id": ["${there}\u0301", "\uff54rc_x", "\u0442rc_x", "${there}\u200c", "TRC_x"],
    }
    for mechanism, values in odd.items():
        for one in values:
            yield case(f"{mechanism} in a message", {"messages": [{"role": "user", "content": one}]})
            yield case(f"{mechanism} in the model", {"messages": [{"role": "user", "content": "hi"}], "model": one})
            part = [{"type": "text", "text": one}]
            yield case(f"{mechanism} in a part", {"messages": [{"role": "user", "content": part}]})
        for name in ("correction", "comment"):
            yield from field(f"{mechanism} in", name, values, FEEDBACK)
        yield from field(f"{mechanism} in", "sent", values, FEEDBACK, rating=None, signal="sent")
    for mechanism, values in names.items():
        for name in ("trace_id", "better_than"):
            yield from field(f"{mechanism} in", name, values, FEEDBACK)
        if mechanism.startswith("look-alike"):
            continue
        yield from field(f"{mechanism} in", "source", values, FEEDBACK)
        yield from field(f"{mechanism} in", "id", values, FEEDBACK)


_PATHS = {
    "climbs": ["../../etc/passwd", "..", "a/../../b", "....//....//etc", "./../x"],
    "climbs, encoded": ["..%2f..%2fetc%2fpasswd", "%2e%2e/x", "..%252f..%252fx", "%2e%2e%2fx", "..%c0%afx"],
    "climbs, backslashes": ["..\\..\\windows", "..%5c..%5cx", "\\\\host\\share", "C:\\x", "..\\/x"],
    "absolute": ["/etc/passwd", "//etc/passwd", "/proc/self/environ", "/dev/zero", "/"],
    "address": ["file:///etc/passwd", "http://127.0.0.1:1/x", "s3://b/k", "ftp://x", "gopher://x"],
    "metadata address": ["http://169.254.169.254/", "http://[::1]/", "http://0/", "http://2130706433/", "//evil/x"],
    "shell": ["$(id)", "`id`", "; id", "| id", "&& id"],
    "template": ["{{7*7}}", "${7*7}", "{%x%}", "<%=x%>", "#{x}"],
    "device": ["CON", "NUL", "a:b", "aux.txt", "LPT1"],
    "home": ["~", "~root", "~/.ssh/id_rsa", "$HOME", "%USERPROFILE%"],
}
_QUERIES = {
    "SQL, ends a string": ["' OR '1'='1", "'; DROP TABLE traces;--", "\" OR \"\"=\"", "') OR 1=1--", "\\' OR 1=1"],
    "SQL, comment": ["x'--", "x'/*", "x'#", "x';--", "/**/x"],
    "SQL, union": ["' UNION SELECT 1--", "1 UNION SELECT body FROM payloads", "x' UNION ALL SELECT 1,2,3--"],
    "SQL, waits": ["'; SELECT pg_sleep(10)--", "' OR randomblob(1000000000)--", "1;WAITFOR DELAY '0:0:9'--"],
    "SQL, patterns": ["%", "_", "trc_%", "trc\\_%", "[a-z]%"],
    "JSON path": ["$.*", "$..x", "$[?(@.a)]", "$[0:999999]", "a.b[0]"],
    "Cypher": ["' DETACH DELETE n//", "}) RETURN n//", "MATCH (n) DELETE n", "'})-[*1..99]-()", "\\u0027 OR 1=1"],
    "other stores": ["{$ne: 1}", "$where", "*:*", "(|(a=*))", "a)(b"],
    "keys of Python": ["__proto__", "__class__", "constructor", "__init__.__globals__", "{0.__class__}"],
}  # fmt: skip


def _as_names(kinds: dict[str, list[str]]) -> Iterator[Case]:
    for mechanism, values in kinds.items():
        for one in values:
            yield case(f"{mechanism}: model", {"messages": [{"role": "user", "content": "hi"}], "model": one})
        yield from field(f"{mechanism}:", "trace_id", values, FEEDBACK)
        yield from field(f"{mechanism}:", "better_than", values, FEEDBACK)


def paths() -> Iterator[Case]:
    """G: paths and addresses where a name belongs, and in the address itself."""
    yield from _as_names(_PATHS)
    for one in ("/v1/../../etc/passwd", "/v1/models/..%2f..%2fx", "/v1/models/%00", "/v1/models/%ff", "/.git/config"):
        yield case("address that climbs", path=one, method="GET")
    for one in ("/docs", "/openapi.json", "/admin", "/v1/models/nobody", "/v1//feedback"):
        yield case("address of nothing", path=one, method="GET")


def queries() -> Iterator[Case]:
    """H: pieces of queries as names, and as fields of their own."""
    yield from _as_names(_QUERIES)
    for mechanism, values in _QUERIES.items():
        for one in values:
            yield case(f"{mechanism}: a field", {"trace_id": "${there}", "rating": 1, one: 1}, path=FEEDBACK)


def envelopes() -> Iterator[Case]:
    """I: objects that some library would revive, where a value belongs."""
    revived: dict[str, list[Any]] = {
        "lc": [
            {"lc": 1, "type": kind, "id": ["langchain", "x"]} for kind in ("secret", "constructor", "not_implemented")
        ],
        "py": [{"py/object": "os.system"}, {"py/reduce": []}, {"__reduce__": ["x"]}, {"!!python/object": 1}],
        "typed": [{"@type": "x"}, {"$type": "System.X"}, {"__type__": "x"}, {"class": "x"}, {"_type": "prompt"}],
        "reference": [{"$ref": "file:///etc/passwd"}, {"$ref": "#"}, {"$include": "x"}, {"@include": "/x"}],
        "bytes": [{"__bytes__": "gAR9lC4="}, {"ext": 5, "data": "AA=="}, {"$binary": {"base64": "gAR9"}}],
    }
    for mechanism, values in revived.items():
        yield from field(f"{mechanism}:", "messages", values)
        yield from field(f"{mechanism}: entry of", "messages", [[one] for one in values])
        contents = [[{"role": "user", "content": one}] for one in values]
        yield from field(f"{mechanism}: content in", "messages", contents)
        yield from field(f"{mechanism}:", "model", values)
        yield from field(f"{mechanism}:", "stop", values)
        for name in ("trace_id", "correction", "comment", "ranking", "id"):
            yield from field(f"{mechanism}:", name, values, FEEDBACK)


def feedback() -> Iterator[Case]:
    """K: feedback that contradicts itself, names nothing, was given before, or says more than fits."""
    for name in ("trace_id", "exchange", "correction", "comment", "better_than", "source", "id", "sent"):
        yield from field("wrong type:", name, _NOT_TEXT, FEEDBACK)
    yield from field("wrong type:", "rating", _NOT_NUMBER, FEEDBACK)
    yield from field("out of range:", "rating", [1.01, -1.01, 5, 1e308, -100], FEEDBACK)
    yield from field("wrong type:", "verified", _NOT_BOOL, FEEDBACK, rating=None)
    yield from field("wrong type:", "consent", _NOT_BOOL, FEEDBACK)
    yield from field("unknown:", "thumb", ["UP", "sideways", "", 1, True], FEEDBACK, rating=None)
    yield from field("unknown:", "signal", ["liked", "", 1, "Copied", ["copied"]], FEEDBACK, rating=None)
    yield from field("unknown:", "source_type", ["model", "", "Human", 1, ["human"]], FEEDBACK)
    yield from field("wrong type:", "ranking", [1, "x", {"a": 1}, True, [1]], FEEDBACK, rating=None)
    same, many = ["${there}", "${there}"], [f"trc_{n}" for n in range(9)]
    rankings = [["${there}"], same, many, ["${twin}", "${other}"], ["${there}", "trc_none"]]
    yield from field("no order:", "ranking", rankings, FEEDBACK)
    yield from field("other prompt:", "better_than", ["${other}"], FEEDBACK)
    yield from field("itself:", "better_than", ["${there}"], FEEDBACK)
    yield from field("unknown:", "trace_id", ["trc_none", "trc_", "x", "0", "ver_0"], FEEDBACK)
    yield from field("unknown:", "better_than", ["trc_none", "trc_", "x", "0", "ver_0"], FEEDBACK)
    for name, size in (("trace_id", 129), ("source", 129), ("id", 129), ("exchange", 129), ("better_than", 129)):
        yield from field("too long:", name, ["x" * size, "x" * 257, "x" * 5000, ""], FEEDBACK)
    for name in ("correction", "comment"):
        yield from field("blank:", name, ["", " ", "\n", "\t \n", "\u3000"], FEEDBACK)
        start, end = '{"trace_id": "${there}", "' + name + '": "', '"}'
        yield case(f"too long: {name}", path=FEEDBACK, repeat=[start, "word ", 41_000, end])
    for pair in ({"thumb": "up"}, {"verified": True}, {"thumb": "down", "verified": False}):
        yield case("rated twice", {"trace_id": "${there}", "rating": 1} | pair, path=FEEDBACK)
    for pair in ({"rating": 1}, {"correction": "x"}, {"rating": 0, "correction": "x"}):
        yield case("done and said", {"trace_id": "${there}", "signal": "copied"} | pair, path=FEEDBACK)
    for body in ({"signal": "sent"}, {"sent": "x"}, {"signal": "copied", "sent": "x"}, {"signal": "sent", "sent": ""}):
        yield case("sent without a text, or a text not sent", {"trace_id": "${there}"} | body, path=FEEDBACK)
    for body in ({}, {"source": "a"}, {"id": "k"}, {"consent": True}, {"source_type": "human"}):
        yield case("says nothing", {"trace_id": "${there}"} | body, path=FEEDBACK)
    for body in (
        {"rating": 1},
        {"comment": "x"},
        {"signal": "copied"},
        {"trace_id": None, "rating": 1},
        {"thumb": "up"},
    ):
        yield case("about nothing", body, path=FEEDBACK)
    for name in ("a", "${there}", "x y", "1", "exchange"):
        yield case("named twice", {"trace_id": "${there}", "exchange": name, "rating": 1}, path=FEEDBACK)
    for groups in (["age=1"], ["a=b", "c=d"]):
        yield case("groups without consent", {"trace_id": "${there}", "rating": 1, "groups": groups}, path=FEEDBACK)
    wrong: list[Any] = [["age"], ["=x"], ["age="], ["a=1", "a=2"], ["a=" + "x" * 200]]
    yield from field("no group:", "groups", wrong, FEEDBACK, consent=True)
    yield from field("wrong type:", "groups", [1, "a=b", {"a": "b"}, [1], [None]], FEEDBACK, consent=True)
    replays: list[dict[str, Any]] = [{"rating": -1}, {"comment": "x"}, {"correction": "x"}, {"thumb": "down"}]
    for one in replays:
        yield case("replayed with other content", {"trace_id": "${there}", "id": "said"} | one, path=FEEDBACK)
    yield case("replayed of another exchange", {"trace_id": "${other}", "id": "said", "rating": 1}, path=FEEDBACK)
    typed = {"trace_id": "${there}", "rating": 1, "source": "person", "source_type": "program"}
    yield case("a source of another type", typed, path=FEEDBACK)
    for name in ("corection", "Rating", "traceId", "tenant", "weight"):
        yield case("misspelt field", {"trace_id": "${there}", "rating": 1, name: "x"}, path=FEEDBACK)
    for name in ("version_id", "at", "source_id", "approved", "admin"):
        yield case("field of our own", {"trace_id": "${there}", "rating": 1, name: "x"}, path=FEEDBACK)


MAKERS: dict[str, Callable[[], Iterator[Case]]] = {
    "c_schema": schema,
    "d_text": text,
    "g_paths": paths,
    "h_queries": queries,
    "i_envelopes": envelopes,
    "k_feedback": feedback,
}
