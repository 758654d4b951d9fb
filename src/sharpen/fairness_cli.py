"""The verbs of `sharpen perspectives` and `sharpen review`: collections of passages, and what waits for a person.

In: arguments. Out: text and tables. Must not hold logic of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from sharpen import console
from sharpen.config import DEFAULT_PATH, load
from sharpen.errors import ConfigError

perspectives_app = typer.Typer(no_args_is_help=True, help="Passages per perspective: add, audit, search.")
review_app = typer.Typer(no_args_is_help=True, help="What waits for a person: see it, decide it.")
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "name a text file") from error


def _row(line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


@perspectives_app.command()
def add(
    name: Annotated[str, typer.Argument(help="the perspective")],
    path: Annotated[Path, typer.Argument(help="JSON Lines of text, source and licence; or a passage per line")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Add passages to a perspective's collection."""
    from sharpen.memory.perspectives import Collections

    collections = Collections(load(config))
    done = collections.add(name, [_row(line) for line in _lines(path)])
    collections.close()
    console.out.print(f"{done.added} passages added to {name}; {done.known} were known.")
    for problem in done.problems:
        console.out.print(f"  not used: {escape(problem)}")


@perspectives_app.command()
def audit(
    path: Annotated[Path, typer.Argument(help="questions, one per line")], config: ConfigOption = DEFAULT_PATH
) -> None:
    """Say on how many questions each perspective has something relevant."""
    from sharpen.memory.perspectives import Collections

    collections = Collections(load(config))
    for name, share in collections.audit(_lines(path)).items():
        console.out.print(f"{name}: {share:.0%} of the questions, {len(collections.passages(name))} passages")
    collections.close()


@perspectives_app.command()
def search(
    question: Annotated[str, typer.Argument(help="a question")],
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=100, help="how many passages")] = 10,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show the most relevant passages, among which every perspective is heard."""
    from sharpen.memory.perspectives import Collections

    collections = Collections(load(config))
    found, chosen = collections.heard(question, count)
    collections.close()
    for one in found:
        console.out.print(f"{one.relevance:.2f} {one.perspective}: {escape(one.passage.text[:160])}", soft_wrap=True)
    if chosen.silent:
        console.out.print(f"nothing relevant from: {', '.join(chosen.silent)}")


@review_app.command(name="list")
def list_(
    config: ConfigOption = DEFAULT_PATH, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False
) -> None:
    """Show what waits for a person, the worst first."""
    from sharpen.critique.review import waiting
    from sharpen.store import Store

    found = waiting(Store.open(load(config).store_url))
    if as_json:
        rows = [one.critique.model_dump(mode="json") | {"question": one.question, "why": one.why} for one in found]
        console.out.print_json(json.dumps(rows))
        return
    for one in found:
        console.out.print(f"[bold]{one.critique.id}[/] {escape(one.why)}", soft_wrap=True)
        for name, text in (("asked", one.question), ("draft", one.critique.draft), ("revision", one.critique.revision)):
            console.out.print(f"  {name}: {escape((text or 'none')[:160])}", soft_wrap=True)
    console.out.print(f"{len(found)} wait.")


@review_app.command()
def decide(
    critique_id: Annotated[str, typer.Argument(help="the critique's id")],
    choice: Annotated[Literal["draft", "revision", "other"], typer.Argument(help="what is right")],
    answer: Annotated[str | None, typer.Argument(help="the right answer, where it is another")] = None,
    source: Annotated[str, typer.Option(help="who decides")] = "reviewer",
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Decide one; the decision is feedback, and the next cycle learns from it."""
    from sharpen.capture.feedback import record_feedback
    from sharpen.critique.review import decide as decision_on
    from sharpen.store import Store

    store = Store.open(load(config).store_url)
    one = decision_on(store, critique_id, choice, answer)
    said = record_feedback(
        store, trace_id=one.trace_id, rating=one.rating, correction=one.correction, source=source, key=one.key
    )
    console.out.print(f"recorded as {said.id}")


def sources(
    version: Annotated[str, typer.Argument(help="a version's id, champion or previous")] = "champion",
    config: ConfigOption = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show who said what a version was trained on: rows, and share of the weight."""
    from sharpen.lineage.exposure import exposure
    from sharpen.store import Store

    found = exposure(Store.open(load(config).store_url), version)
    if as_json:
        console.out.print_json(json.dumps([one._asdict() for one in found]))
        return
    for one in found:
        console.out.print(f"{one.share:7.2%}  {one.rows} rows  {escape(one.source)}", highlight=False)


def reach(
    source: Annotated[str, typer.Argument(help="a source's name or id")],
    config: ConfigOption = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show everything that rests on a source: examples, training sets, versions and what was trained on from them."""
    from sharpen.lineage.exposure import reach as reached
    from sharpen.store import Store

    found = reached(Store.open(load(config).store_url), source)
    if as_json:
        console.out.print_json(json.dumps(found._asdict()))
        return
    for name, ids in list(found._asdict().items())[1:]:
        console.out.print(
            f"{name}: {len(ids)} {escape(' '.join(ids[:8]))}{' …' if len(ids) > 8 else ''}", soft_wrap=True
        )
