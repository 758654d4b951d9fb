"""Tools do what they say, and nothing that a model writes is executed outside of the sandbox."""

from __future__ import annotations

import pytest

from sharpen.critique.tools import calculator, memory_tool, python, toolbox
from sharpen.memory.recall import Recall
from sharpen.records import Message


@pytest.mark.parametrize(
    ("expression", "result"),
    [("2+2", "4"), ("-(3 - 10) // 2", "3"), ("2 ** 10", "1024"), ("2^3", "8"), ("7 % 4", "3"), ("0.1 + 0.2", "0.3"),
     ("1,200 \u00d7 2", "2400"), ("10 ÷ 4 =", "2.5"), ("2 ** -1", "0.5")],
)  # fmt: skip
def test_the_calculator_is_exact(expression: str, result: str) -> None:
    assert calculator(expression) == result


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('id')", "a + 1", "(lambda: 1)()", "[1][0]", "'a' * 9", "9**9**9",
     "2 ** 0.5", "1 if 1 else 2",
     "True + 1", "1j", "(" * 200 + "1" + ")" * 200, "1" * 400, "", "print(1)", "10 ** 100000"],
)  # fmt: skip
def test_the_calculator_refuses_whatever_is_not_a_sum(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expression|numbers|power"):
        calculator(expression)


def test_memory_shows_answers_that_were_right() -> None:
    look_up = memory_tool(Recall([((Message(role="user", content="capital of Norway?"),), "Oslo")]))
    assert look_up("what is the capital of Norway") == "capital of Norway? -> Oslo"
    assert memory_tool(Recall())("anything") == "nothing is kept on this"


def test_python_runs_in_the_sandbox() -> None:
    assert python("print(6 * 7)") == "42"
    assert python("x = 1") == "it printed nothing"
    assert "ZeroDivisionError" in python("1 / 0")
    assert "it failed" in python("import socket; socket.socket()")
    assert set(toolbox(["python", "calculator"], Recall(), {})) == {"python", "calculator"}
