"""What a model may use while it thinks: named functions from a text to a text.

In: what the model wrote as input. Out: what it is shown. Must not know which method asks.

A tool may raise: the error is what the model is shown.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction

from sharpen.errors import ConfigError
from sharpen.memory.recall import Recall
from sharpen.records import Message

Tool = Callable[[str], str]

_MOST_CHARS = 300  # chosen: far above what a person types into a calculator
_MOST_DIGITS = 400  # chosen: an exact power of this size takes microseconds
_NEAREST = 3  # chosen: what fits beside a question in a small model's context
_PYTHON_S = 5.0

_BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: lambda left, right: Fraction(left // right), ast.Mod: operator.mod,
}  # fmt: skip


def calculator(expression: str) -> str:
    """Work out an expression exactly: + - * / // % ** and brackets. The tree is walked, nothing is executed.

    Raises: ValueError for anything else; ZeroDivisionError.

    >>> calculator("(17 + 3) * 2 / 8"), calculator("1/3")
    ('5', '0.333333333333')
    """
    text = expression.strip().replace("\u00d7", "*").replace("\u00f7", "/").replace("\u2212", "-").replace("^", "**")
    if len(text) > _MOST_CHARS:
        raise ValueError(f"an expression has at most {_MOST_CHARS} characters")
    try:
        tree = ast.parse(text.replace(",", "").rstrip("=? "), mode="eval")
        value = _value(tree.body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("this is not an expression of numbers") from error
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.12g}"


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](left, right)
    raise ValueError("only numbers, + - * / // % ** and brackets")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    size = len(str(base.numerator)) + len(str(base.denominator))
    if exponent.denominator != 1 or abs(exponent) * size > _MOST_DIGITS:
        raise ValueError("this power is too large, or not a whole one")
    return Fraction(base) ** int(exponent)


def memory_tool(recall: Recall) -> Tool:
    """Return a tool that finds the kept answers to the questions most like its input."""

    def look_up(question: str) -> str:
        found = recall.nearest([Message(role="user", content=question)], _NEAREST)
        return "\n".join(f"{pair.messages[-1].content} -> {pair.reply}" for pair in found) or "nothing is kept on this"

    return look_up


def python(code: str) -> str:
    """Run a program in the sandbox and return what it printed, or how it failed. Raises: Refused without a sandbox."""
    from sharpen.verify.sandbox import run_python

    outcome = run_python(code, timeout_s=_PYTHON_S)
    if outcome.reason == "ok":
        return outcome.stdout.strip() or "it printed nothing"
    return f"it failed ({outcome.reason}): {outcome.stderr.strip()[-300:]}"


def toolbox(names: list[str], recall: Recall, given: Mapping[str, Tool]) -> dict[str, Tool]:
    """Return the tools of `[critique] tools`; `given` holds those that other parts bring.

    Raises: ConfigError for one that nobody brought.
    """
    known: dict[str, Tool] = {"calculator": calculator, "memory": memory_tool(recall), "python": python, **given}
    if missing := [name for name in names if name not in known]:
        raise ConfigError(f"[critique] tools: '{missing[0]}' is not there in this deployment.", "leave it out")
    return {name: known[name] for name in names}
