from __future__ import annotations

import json

import pytest

from sharpen.verify.scorers import find_scorer, grade

ASSERTIONS = "assert add(2, 3) == 5\nassert add(-1, 1) == 0\n"
RIGHT = "Here you go:\n```python\ndef add(a, b):\n    return a + b\n```\nDone."


def score(reply: str, reference: str) -> tuple[float | None, str | None]:
    return grade(find_scorer("passes_tests"), reply, reference)


def test_right_code_passes_and_wrong_code_does_not() -> None:
    assert score(RIGHT, ASSERTIONS) == (1.0, None)
    assert score("def add(a, b): return a - b", ASSERTIONS) == (0.0, None)
    assert score("I cannot write code.", ASSERTIONS) == (0.0, None)


@pytest.mark.parametrize(
    "reply",
    [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "print('passed'); import os; os._exit(0)",
        "while True: pass",
        "import os\nwhile True: os.fork()",
        "print('x' * 10**9)",
    ],
)
def test_leaving_early_or_running_wild_passes_nothing(reply: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.verify.scorers.programs.TIMEOUT_S", 1.0)
    assert score(reply, ASSERTIONS) == (0.0, None)


def test_programs_are_tested_by_what_they_print_and_never_see_what_is_expected() -> None:
    tests = json.dumps([{"stdin": "2 3\n", "stdout": "5\n"}, {"stdin": "10 -4\n", "stdout": "6"}])
    assert score("a, b = map(int, input().split())\nprint(a + b)", tests) == (1.0, None)
    assert score("print(5)", tests) == (0.0, None)
    assert score("import sys\nsys.stdout.write(open('../main.py').read())", tests) == (0.0, None)


@pytest.mark.parametrize("tests", ["", "  ", "[", "[]", '[{"stdin": 1, "stdout": ""}]', '[{"in": "", "out": ""}]'])
def test_tests_that_are_none_leave_the_reply_unscored(tests: str) -> None:
    value, reason = score(RIGHT, tests)
    assert value is None and reason and "tests" in reason


def test_a_machine_without_a_sandbox_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.verify.sandbox.layers", lambda: frozenset({"limits"}))
    value, reason = score(RIGHT, ASSERTIONS)
    assert value is None and reason and "sandbox needs landlock" in reason
