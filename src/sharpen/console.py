"""What a person sees in the terminal: progress bars with the time left, tables, errors without a traceback.

In: numbers and records. Out: text on the terminal. Must not know how they came about.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from sharpen.errors import SharpenError
from sharpen.records import Comparison, Cycle, JudgeTrial, TrainingRun, Verdict, Vital

out = Console()
err = Console(stderr=True)


class Board:
    """One progress bar per piece of work; call it with (name, done, in all)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far a piece of work is; a total of 0 means that nobody knows yet, and 1 of 1 that it has ended."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total or None)
        if not self._progress.tasks[self._bars[name]].finished:  # its clock has stopped
            self._progress.update(self._bars[name], completed=done, total=total or None)


@contextlib.contextmanager
def board() -> Iterator[Board]:
    """Show progress bars while the block runs."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description:<38}"), BarColumn(bar_width=24),
        MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, refresh_per_second=4) as progress:
        shown = Board(progress)
        yield shown
        for task in progress.tasks:  # a stage that told no length has ended too
            if not task.finished:
                progress.update(task.id, total=task.completed or 1, completed=task.completed or 1)


def say(text: str) -> None:
    """Say something with the time it was said: for a command that runs for days."""
    err.print(Text(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {text}"))


def warn(text: str) -> None:
    """Say something that must not be overlooked, beside what was asked for."""
    err.print(Text(text, "bold red"))


def complain(error: SharpenError) -> None:
    """Tell a person what is wrong and what to type next."""
    err.print(f"[bold red]✗[/] {_plain(error.what)}", highlight=False)
    if error.next_step:
        err.print(f"  [bold]→[/] {_plain(error.next_step)}", highlight=False)


_STATES = {"passed": "green", "open": "yellow", "futile": "yellow", "unarmed": "magenta", "failed": "red"}
_SIGNS = {"ok": "green", "warn": "yellow", "alarm": "red", "unmeasured": "dim"}


def verdict_table(verdict: Verdict) -> Table:
    """Return the gate's comparisons as a table: a row per claim, every guard and group among them."""
    table = Table(title=verdict.reason, title_justify="left", title_style="bold")
    for column in ("what is claimed", "on", "against", "state"):
        table.add_column(column, overflow="fold")
    for column in ("cases", "ours", "other", "points", "interval", "p"):
        table.add_column(column, justify="right", overflow="fold")
    for one in verdict.comparisons:
        cases = f"{one.n} of {one.planned}" if one.planned > one.n else str(one.n)
        table.add_row(
            _claimed(one), f"{one.suite} \\[{one.group}]" if one.group else one.suite, one.against.replace("_", "-"),
            Text(one.state, _STATES.get(one.state, "")),
            cases, f"{one.challenger:.1%}", f"{one.other:.1%}", f"{100 * one.effect:+.1f}",
            f"{100 * one.low:+.1f} … {100 * one.high:+.1f}", f"{one.p_value:.2g}",
        )  # fmt: skip
    return table


def _claimed(one: Comparison) -> str:
    """Return a claim in words; a guard's says what it may lose, and what its cases can resolve."""
    points = f"{100 * abs(one.boundary):g}"
    if one.claim == "floor":
        return f"mean above {points} %"
    if one.claim == "not_worse":
        reach = "" if one.resolves is None else f", resolves {100 * one.resolves:.1f}"
        return f"loses less than {points}{reach}"
    return f"gains more than {points}" if one.boundary else "gains"


def report(verdict: Verdict) -> Group:
    """Return all that is known of a decision: claims, controls, the number to report, the cycle's page."""
    parts: list[RenderableType] = [verdict_table(verdict)]
    if verdict.comparisons:
        budget = f" of {verdict.alpha:g}" if verdict.alpha is not None else ""
        parts.append(f"Attempt {verdict.attempt}, alpha spent {verdict.alpha_spent:.4f}{budget}.")
    if verdict.unarmed:
        parts.append(Text(f"Unarmed, too few cases for their margin: {', '.join(verdict.unarmed)}.", "magenta"))
    if verdict.controls:
        told = ", ".join(f"{name}: {share:.1%}" for name, share in verdict.controls.items())
        parts.append(f"Controls that came through, at alpha {verdict.alpha_spent:.4f}: {told}.")
    if verdict.more_cases:
        parts.append(f"{verdict.more_cases:,} more cases would probably decide.")
    if (found := verdict.published) is not None:
        parts.append(
            f"To report: {100 * found.effect:+.1f} points on {found.n} vault cases that decided nothing "
            f"({found.level:.0%} interval {100 * found.low:+.1f} … {100 * found.high:+.1f})."
        )
    if verdict.vitals:
        parts.append(vitals_table(verdict.vitals))
    return Group(*parts)


def vitals_table(vitals: Sequence[Vital]) -> Table:
    """Return the cycle's page: signs of collapse, of judge hacking and of leaks."""
    table = Table(title="the cycle's page", title_justify="left", title_style="bold")
    for column in ("sign", "value", "warn", "alarm", "state", "stands on"):
        table.add_column(column, justify="right" if column in ("value", "warn", "alarm") else "left", overflow="fold")
    for one in vitals:
        value = "" if one.value is None else f"{one.value:.3g}"
        state = Text(one.state, _SIGNS[one.state])
        table.add_row(_plain(one.name), value, f"{one.warn:.3g}", f"{one.alarm:.3g}", state, _plain(one.note))
    return table


def opinions_table(means: Mapping[str, Mapping[str, tuple[float, int, int]]]) -> Table:
    """Return what each scorer made of each arm: the mean of what it scored, and how much that was."""
    table = Table(title="What others say; it decides nothing", title_justify="left")
    table.add_column("scorer")
    for arm in means:
        table.add_column(arm, justify="right")
    for name in sorted({name for arm in means.values() for name in arm}):
        cells = [arm.get(name, (0.0, 0, 0)) for arm in means.values()]
        table.add_row(name, *(f"{mean:.1%} of {n}/{of}" if n else f"none of {of}" for mean, n, of in cells))
    return table


def cycle_table(cycle: Cycle) -> Table:
    """Return the stages of a cycle with their times."""
    table = Table(title=f"{cycle.id}: {cycle.state}", title_justify="left")
    for column in ("stage", "seconds", "in the model"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in cycle.stages:
        share = stage.model_seconds / stage.seconds if stage.seconds else 0.0
        table.add_row(stage.stage, f"{stage.seconds:.1f}", f"{share:.0%}")
    return table


def training_line(run: TrainingRun) -> str:
    """Return by which method a version was trained, why, and what was left out."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(run.dropped.items()))
    return _plain(f"trained by {run.method}: {run.reason}" + (f"; left out: {left_out}" if left_out else ""))


def trial_table(trial: JudgeTrial) -> Table:
    """Return what the probes of a judge found."""
    can = "it may only advise" if trial.faults else f"it may label and gate until {trial.expires_at:%Y-%m-%d}"
    title = f"{trial.model}, {trial.rubric}: right on {trial.accuracy:.0%} of {trial.items} gold items; {can}"
    table = Table(title=_plain(title), title_justify="left", title_style="bold")
    for column in ("probe", "value", "95 % interval", "limit", "n", "outcome"):
        table.add_column(column, justify="left" if column in ("probe", "outcome") else "right")
    for one in trial.findings:
        value = "" if one.value is None else f"{one.value:.3f}"
        interval = "" if one.low is None or one.high is None else f"{one.low:.3f} … {one.high:.3f}"
        table.add_row(one.name, value, interval, f"{one.limit:g}", str(one.n), one.outcome)
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
