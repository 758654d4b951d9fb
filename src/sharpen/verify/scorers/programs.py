"""Scorers that run a reply's code against tests, in the sandbox.

In: a reply with a program, and tests as reference. Out: 0 or 1. Must not know models.

Input and output pairs are the safe kind of test: what is expected never enters the sandbox. Assertions run in the same
process as the reply, which can therefore cheat: a reply that looks for the seal in the harness's frames will find it.
Leaving early (`exit(0)`), or printing what success looks like, does not help it.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from sharpen.verify.sandbox import run_python
from sharpen.verify.scorers.registry import Unscored, scorer

TIMEOUT_S = 5.0  # chosen: per run; exercises take milliseconds
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
_HARNESS = """
import json, os, sys
given = json.loads(sys.stdin.readline())
write, seal = os.write, given["seal"].encode()
room = {"__name__": "reply"}
exec(compile(given["reply"], "reply.py", "exec"), room)
exec(compile(given["tests"], "tests.py", "exec"), room)
sys.stdout.flush()
write(1, seal)
"""


def program(reply: str) -> str:
    """Return the last fenced block of a reply, or all of it where there is none.

    >>> program("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    'x = 1\\n'
    """
    blocks: list[str] = _FENCE.findall(reply)
    return blocks[-1] if blocks else reply


@scorer
def passes_tests(reply: str, reference: str) -> float:
    """Return 1 if the reply's program passes every test of the reference.

    The reference is a JSON list of `{"stdin": "…", "stdout": "…"}`, compared without white space at line ends; or
    Python with assertions, which runs after the program, in its names.

    >>> passes_tests("print(int(input()) + 1)", '[{"stdin": "41", "stdout": "42"}]')
    1.0
    """
    code = program(reply)
    pairs = _pairs(reference)
    if pairs is None:
        seal = secrets.token_hex(16)
        given = json.dumps({"reply": code, "tests": reference, "seal": seal})
        done = run_python(_HARNESS, stdin=given + "\n", timeout_s=TIMEOUT_S)
        return float(done.reason == "ok" and done.stdout.endswith(seal))
    for pair in pairs:
        done = run_python(code, stdin=pair["stdin"], timeout_s=TIMEOUT_S)
        if done.reason != "ok" or _lines(done.stdout) != _lines(pair["stdout"]):
            return 0.0
    return 1.0


def _pairs(reference: str) -> list[dict[str, str]] | None:
    """Return the reference's input and output pairs, or None where it is Python. Raises: Unscored."""
    if not reference.lstrip().startswith("["):
        if not reference.strip():
            raise Unscored("there are no tests")
        return None
    try:
        pairs: Any = json.loads(reference)
    except ValueError as error:
        raise Unscored(f"the tests are no JSON: {error}") from error
    if not pairs or not all(
        isinstance(pair, dict) and {"stdin", "stdout"} == pair.keys() and all(isinstance(v, str) for v in pair.values())
        for pair in pairs
    ):
        raise Unscored('the tests are no list of {"stdin": "…", "stdout": "…"}')
    return list(pairs)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
