"""Check everything a cycle needs, and say what to type about what is missing.

In: the path of a configuration. Out: findings, printed as a table. Must not change anything but the store's schema, and
must not load a model unless the gap is asked for: a check takes seconds, and whatever goes wrong in one is a line of
the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sharpen import console
from sharpen.config import Config, load
from sharpen.doctor.finding import Check, Finding, guarded
from sharpen.doctor.gap import check_gap
from sharpen.doctor.machine import check_base, check_disk, check_gateway, check_memory, check_packages, check_python
from sharpen.doctor.power import check_power
from sharpen.doctor.state import check_cycle, check_mlflow, check_sqlite, check_store
from sharpen.doctor.suites import check_suites
from sharpen.errors import SharpenError

__all__ = ["Finding", "examine", "look"]

_MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "fail": ("✗", "bold red")}


def examine(config_path: Path, *, gap: bool = False) -> bool:
    """Print what each check found; return whether everything that a cycle needs is there. Raises nothing.

    `gap` also measures whether the model can judge its own answers: it loads the model, and takes minutes.
    """
    findings = list(look(config_path, gap=gap))
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in findings:
        mark, colour = _MARKS[one.state]
        told = Text(one.found)
        if one.next_step:
            told.append(f"\n→ {one.next_step}", style="bold")
        table.add_row(Text(mark, colour), Text(one.name, no_wrap=True), told)
    console.out.print(table)
    failed = sum(one.state == "fail" for one in findings)
    fine = "[green]Everything a cycle needs is there.[/]"
    console.out.print(f"[bold red]{failed} to mend[/] before a cycle can run." if failed else fine)
    return not failed


def look(config_path: Path, *, gap: bool = False) -> Iterator[Finding]:
    """Yield what each check finds; those that need a valid configuration are left out without one."""
    yield from guarded("Python", check_python, Config())
    try:
        config = load(config_path)
    except SharpenError as error:
        yield Finding("configuration", "fail", error.what, error.next_step)
        yield from guarded("packages", check_packages, Config())
        return
    yield Finding("configuration", "ok", str(config_path))
    checks: dict[str, Check] = {
        "packages": check_packages, "base": check_base, "disk": check_disk, "memory": check_memory,
        "SQLite": check_sqlite, "store": check_store, "suites": check_suites, "gateway": check_gateway,
        "MLflow": check_mlflow, "cycle": check_cycle, "power": check_power,
    }  # fmt: skip
    if gap:
        checks["gap"] = check_gap
    for name, check in checks.items():
        yield from guarded(name, check, config)
