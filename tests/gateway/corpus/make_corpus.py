"""Writes the bad-input corpus: `python -m tests.gateway.corpus.make_corpus`, from the repository's root.

In: nothing. Out: one JSON Lines file per category, each line a case. Must not know how the gateway judges a case.

A mechanism is one way to be wrong at one place; at most five cases show it, so that the count says how many different
things were tried. `${there}`, `${twin}` and `${other}` stand for exchanges that are there: the first two have the same
messages. Bodies are text, bytes in base64, or a text that is repeated, so that the files stay small.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHAT, FEEDBACK = "/v1/chat/completions", "/v1/feedback"
MOST_PER_MECHANISM = 5
Case = dict[str, Any]

_ASKED = {"messages": [{"role": "user", "content": "hi"}]}
_SAID = {"trace_id": "${there}", "rating": 1}
_PLAIN = {CHAT: _ASKED, FEEDBACK: _SAID}


def case(mechanism: str, body: Any = None, *, path: str = CHAT, **more: Any) -> Case:
    """Return one case: a body that is JSON unless it says otherwise, to be posted."""
    if isinstance(body, bytes):
        more["base64"] = base64.b64encode(body).decode()
    elif isinstance(body, str):
        more["text"] = body
    elif body is not None:
        more["text"] = json.dumps(body)
    return {"mechanism": mechanism, "path": path, **more}


def each(mechanism: str, bodies: Iterable[Any], **more: Any) -> Iterator[Case]:
    """Yield one case per body."""
    for body in bodies:
        yield case(mechanism, body, **more)


def field(mechanism: str, name: str, values: Iterable[Any], path: str = CHAT, **beside: Any) -> Iterator[Case]:
    """Yield a good body with one field spoiled, once per value."""
    for value in values:
        yield case(f"{mechanism} {name}", _PLAIN[path] | beside | {name: value}, path=path)


def protocol() -> Iterator[Case]:
    """A: what HTTP itself forbids, or what no client sends."""
    body = b'{"trace_id": "${none}", "rating": 1}'
    head = b"host: localhost\r\ncontent-type: application/json\r\n"
    length = b"content-length: %d\r\n" % len(body)
    post = b"POST /v1/feedback HTTP/1.1\r\n"
    raw: dict[str, list[bytes]] = {
        "no request line": [b"\x00\x01\x02\x03\r\n\r\n", b"hello\r\n\r\n", b" \r\n\r\n", b"{}\r\n\r\n", b"GET\r\n\r\n"],
        "TLS to a plain port": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32 + b"\r\n\r\n"],
        "HTTP/2 preface": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        "unknown version": [b"POST /v1/feedback HTTP/%s\r\n" % v + head + b"\r\n" for v in (b"9.9", b"x", b"1", b"")],
        "unknown method": [m + b" /v1/feedback HTTP/1.1\r\n" + head + b"\r\n" for m in (b"FOO", b"post", b"P@ST", b"")],
        "target with spaces": [b"POST /v1/feed back HTTP/1.1\r\n" + head + b"\r\n", b"POST  HTTP/1.1\r\n\r\n"],
        "header without colon": [post + b"host localhost\r\n\r\n", post + head + b"oops\r\n\r\n"],
        "space before colon": [post + b"host : localhost\r\n\r\n", post + head + b"content-length : 2\r\n\r\n{}"],
        "control in a header": [post + head + b"x-a: a%sb\r\n\r\n" % c for c in (b"\0", b"\x01", b"\x7f", b"\x0b")],
        "header name not a token": [post + head + n + b": 1\r\n\r\n" for n in (b"x y", b"x(y)", b"x\xff", b"[x]", b"")],
        "folded header": [post + head + b"x-a: 1\r\n 2\r\n\r\n", post + head + b"x-a: 1\r\n\tb\r\n\r\n"],
        "length is no number": [
            post + head + b"content-length: %s\r\n\r\n" % n for n in (b"abc", b"-1", b"+5", b"0x10", b"1e3")
        ],
        "length is huge": [post + head + b"content-length: %s\r\n\r\n" % (b"9" * n) for n in (20, 25, 40, 100)],
        "two lengths": [
            post + head + b"content-length: %d\r\ncontent-length: %d\r\n\r\n" % (a, b) + body
            for a, b in ((2, 3), (0, 36), (36, 0), (1, 2))
        ],
        "length list": [post + head + b"content-length: %s\r\n\r\n{}" % n for n in (b"2, 2", b"2,3", b"2;2", b"2 2")],
        "length and chunks": [
            post + head + length + b"transfer-encoding: %s\r\n\r\n0\r\n\r\n" % t
            for t in (b"chunked", b"Chunked", b"gzip, chunked")
        ],
        "unknown coding": [
            post + head + b"transfer-encoding: %s\r\n\r\n0\r\n\r\n" % t
            for t in (b"identity", b"gzip", b"xchunked", b"chunked, gzip")
        ],
        "chunk size is no number": [
            post + head + b"transfer-encoding: chunked\r\n\r\n%s\r\n{}\r\n0\r\n\r\n" % n
            for n in (b"zz", b"-1", b"0x2", b"", b"+2")
        ],
        "chunk size is huge": [
            post + head + b"transfer-encoding: chunked\r\n\r\n%s\r\n" % (b"f" * n) for n in (17, 20, 64)
        ],
        "no host": [b"POST /v1/feedback HTTP/1.1\r\ncontent-length: 0\r\n\r\n", b"GET /v1/models HTTP/1.1\r\n\r\n"],
        "foreign host": [
            b"GET /v1/models HTTP/1.1\r\nhost: %s\r\n\r\n" % h
            for h in (b"evil.example", b"127.0.0.1.evil.example", b"localhost@evil.example", b"0.0.0.0", b"")
        ],
        "absolute target": [b"GET http://evil.example/x HTTP/1.1\r\nhost: localhost\r\n\r\n"],
        "authority target": [b"CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n"],
    }  # fmt: skip
    for mechanism, requests in raw.items():
        for request in requests:
            yield {"mechanism": mechanism, "raw": base64.b64encode(request).decode()}
    for request in (post + head + b"x-a: PADDING\r\n\r\n", b"GET /PADDING HTTP/1.1\r\n" + head + b"\r\n"):
        yield {"mechanism": "head too long", "raw": base64.b64encode(request).decode(), "padding": 70_000}
    cut = [post[:9], post, post + head, post + head + length + b"\r\n", post + head + length + b"\r\n" + body[:7]]
    for request in cut:
        yield {"mechanism": "cut off", "raw": base64.b64encode(request).decode(), "half_close": True}
    for path in (CHAT, FEEDBACK):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            yield case(f"{path}: wrong method", _PLAIN[path], path=path, method=method)
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"):
            yield case(f"{path}: wrong content type", _PLAIN[path], path=path, headers={"content-type": kind})
        for coding in ("gzip", "br", "deflate", "zstd", "compress"):
            yield case(f"{path}: coded body", b"\x1f\x8b\x08" * 4, path=path, headers={"content-encoding": coding})
        yield case(f"{path}: body too long", path=path, repeat=['{"x": "', "a", 2_000_000, '"}'])
    for name in ("x-sharpen-exchange", "x-sharpen-session"):
        for value in ("a" * 129, "a" * 5000, "\x80bad", "\xa0", "\xad"):
            yield case(f"{name} is no name", _ASKED, headers={name: value})


def shapes() -> Iterator[Case]:
    """B: bodies that are not JSON, or not of the shape, on both routes."""
    for path in (CHAT, FEEDBACK):
        good = json.dumps(_PLAIN[path])
        inner = good[:-1]
        ways: dict[str, list[Any]] = {
            "empty": ["", " ", "\n\n", "\t", b"\xef\xbb\xbf"],
            "cut short": [good[:n] for n in (1, 5, 12, 20, len(good) - 1)],
            "something behind it": [good + tail for tail in ("x", "{}", "]", "\x00", ",")],
            "something before it": [head + good for head in ("x", ")]}',\n", "\ufeff", "\x00", "data: ")],
            "not an object": [json.loads(x) for x in ("[]", "1", "true", '"x"', "[{}]")],
            "null": ["null", " null "],
            "trailing comma": [inner + end for end in (",}", ", ,}", ",\n}")],
            "single quotes": [good.replace('"', "'"), "{'a': 1}"],
            "comment": [inner + end for end in ("/* x */}", "// x\n}", "# x\n}")],
            "bare words": ["{a: 1}", "{messages: []}", "{trace_id: x}", "undefined", "None"],
            "no number": [inner + f', "x": {n}}}' for n in ("01", "1.", ".5", "+1", "0x1f")],
            "number out of grammar": [inner + f', "x": {n}}}' for n in ("1e", "--1", "1_000", "1e+", "Infinit")],
            "raw control in a string": [inner + f', "x": "a{c}b"}}' for c in ("\n", "\t", "\x00", "\x1f", "\r")],
            "bad escape": [inner + f', "x": "\\{c}"}}' for c in ("x41", "u12", "uZZZZ", "'", "0")],
            "missing colon": ['{"a" 1}', '{"a"}', '{"a", "b"}'],
            "missing comma": [inner + ' "x": 1}', inner + ' "x" "y"}'],
            "wrong bracket": [inner + "]", "[" + good[1:], "(" + good + ")", "<" + good + ">"],
            "other format": ["a=1&b=2", "<xml/>", "a: 1\nb: 2", "[a]\nb = 1", "--x\r\n\r\n1"],
            "binary": [b"\x80\x04K\x01.", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\x00asm\x01", b"\x93NUMPY"],
            "another encoding": [good.encode(name) for name in ("utf-16", "utf-16-be", "utf-32", "cp037", "utf-16-le")],
            "no UTF-8": [inner.encode() + b', "x": "' + x + b'"}' for x in (b"\xff", b"\xc0\xaf", b"\xe2\x82")],
            "half of a pair, raw": [inner.encode() + b', "x": "\xed\xa0\x80"}'],
        }  # fmt: skip
        for mechanism, bodies in ways.items():
            yield from each(f"{path}: {mechanism}", bodies, path=path)
        for name in list(_PLAIN[path]):
            value = json.dumps(_PLAIN[path][name])
            for again in (value, "null", "1", '"x"', "[]"):
                yield case(f"{path}: {name} twice", inner + f', "{name}": {again}}}', path=path)
        for before, after in (('{"x": ', "}"), (inner + ', "user": ', "}")):
            for unit, end in (("[", "]"), ('{"a":', "}")):
                where = "field" if before == '{"x": ' else "beside good ones"
                for times in (300, 2000, 50_000):
                    yield case(
                        f"{path}: deep {unit} in a {where}", path=path, repeat=[before, unit, times, "1" + end + after]
                    )
    for name in ("rating",):
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 4000):
            yield case(f"{name} is not finite", f'{{"trace_id": "${{there}}", "{name}": {number}}}', path=FEEDBACK)
    for name in ("temperature", "top_p", "max_tokens", "seed", "max_completion_tokens"):
        for number in ("NaN", "-Infinity", "1e999", "1" * 4000, "-" + "9" * 400):
            text = json.dumps(_ASKED)[:-1] + f', "{name}": {number}}}'
            yield case(f"{name} is not finite", text)


def main() -> None:
    """Write every file anew."""
    from tests.gateway.corpus import more_cases

    for name, make in {"a_protocol": protocol, "b_shapes": shapes, **more_cases.MAKERS}.items():
        cases = [{"id": f"{name}-{number:03}", **one} for number, one in enumerate(make(), 1)]
        most = Counter(one["mechanism"] for one in cases).most_common(1)[0]
        assert most[1] <= MOST_PER_MECHANISM, most
        text = "".join(json.dumps(one) + "\n" for one in cases)
        (HERE / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
