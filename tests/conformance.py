"""Prints, at the end of a test run, which part passed which check, and how real the part was.

A conformance suite runs the same checks on every part of a kind (vector stores, graph stores, critique methods). Each
such test says which cell of the table it fills; whether it passed is taken from its own report, so a test cannot
claim it. The rows travel in `report.user_properties`, hence also from the workers of xdist. Registered in conftest.py;
a suite needs one line per test, or one in the fixture that all its tests ask for:

    from tests.conformance import record

    @pytest.fixture(params=["chroma", "qdrant"])
    def vectors(request, record_property):
        record(record_property, table="vector stores", part=request.param, check=check_of(request), how="embedded")
        return open_store(request.param)

`how` is one of HOW: "embedded" (the engine itself, in process), "real server" (the client against a server), "client
only" (the official client against a protocol stand-in), "in process" (our own code, nothing behind it).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

HOW = ("embedded", "real server", "client only", "in process", "real program", "real library")
_PROPERTY, _OUTCOME = "conformance", "outcome"


def record(record_property: Callable[[str, object], None], *, table: str, part: str, check: str, how: str) -> None:
    """Say which cell of which table the running test fills."""
    assert how in HOW, f"{how!r} is none of {HOW}"
    record_property(_PROPERTY, json.dumps([table, part, how, check]))


def tell(record_property: Callable[[str, object], None], title: str, line: str) -> None:
    """Have a line of what came out printed under a title at the end, if the test passes."""
    record_property(_OUTCOME, json.dumps([title, line]))


def check_of(request: pytest.FixtureRequest) -> str:
    """Return the check's name: the test's own, as words, without its parameters."""
    name = getattr(request.node, "originalname", None) or request.node.name
    return str(name).removeprefix("test_").replace("_", " ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one table per kind: checks down, parts across."""
    cells: dict[str, dict[tuple[str, str], dict[str, bool]]] = {}
    lines: dict[str, list[str]] = {}
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if outcome not in ("passed", "failed", "error") or not hasattr(report, "user_properties"):
                continue
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    table, part, how, check = json.loads(str(value))
                    checks = cells.setdefault(table, {}).setdefault((part, how), {})
                    # One cell may be filled by many tests: all of them have to pass.
                    checks[check] = checks.get(check, True) and outcome == "passed"
                elif name == _OUTCOME and outcome == "passed":
                    title, told = json.loads(str(value))
                    lines.setdefault(title, []).append(told)
    for table, parts in sorted(cells.items()):
        terminalreporter.section(f"conformance: {table}")
        for line in _drawn(parts):
            terminalreporter.write_line(line)
    for title, some in sorted(lines.items()):
        terminalreporter.section(title)
        for line in sorted(some):
            terminalreporter.write_line(line)


def _drawn(parts: dict[tuple[str, str], dict[str, bool]]) -> list[str]:
    """Draw one table as lines of text."""
    columns = sorted(parts)
    checks = sorted({check for done in parts.values() for check in done})
    first = max(len("how real"), *(len(check) for check in checks))
    widths = [max(len(part), len(how)) for part, how in columns]

    def line(head: str, cells: list[str]) -> str:
        return "  ".join([head.ljust(first), *(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))])

    said = {True: "ok", False: "FAILED", None: "-"}
    return [
        line("", [part for part, _ in columns]),
        line("how real", [how for _, how in columns]),
        *(line(check, [said[parts[column].get(check)] for column in columns]) for check in checks),
    ]
