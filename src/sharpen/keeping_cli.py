"""`sharpen forget`, `backup`, `restore` and `prune`: what is kept, until when, and where else.

In: arguments. Out: text. Must not hold logic of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from sharpen import console
from sharpen.config import DEFAULT_PATH, load

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]


def forget(
    exchanges: Annotated[list[str] | None, typer.Argument(help="exchanges, by the ids of their completions")] = None,
    session: Annotated[str | None, typer.Option(help="every exchange of a session")] = None,
    source: Annotated[str | None, typer.Option(help="what a source said, by its name or id")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without this, only show what would go")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Erase words, with everything that rests on them, for good; name the versions that learned from them."""
    from sharpen.forgetting import forget as forgets
    from sharpen.lineage.withdrawal import resting_on
    from sharpen.loop import Loop

    if not exchanges and session is None and source is None:
        raise typer.BadParameter("name exchanges, a --session or a --source")
    loop = Loop.open(config)
    if yes:
        gone = forgets(loop, exchanges=exchanges or (), session=session, source=source)
        console.out.print(f"Erased: {gone.records} records, {gone.answers} kept answers, {gone.files} files.")
        found = gone.found
    else:
        found = resting_on(loop.store, exchanges=exchanges or (), session=session, source=source)
        kinds = [f"{len(ids)} {kind}" for kind, ids in found._asdict().items() if kind != "made"]
        console.out.print(f"Would erase the words of {', '.join(kinds)}. Do it with --yes.")
    learned = [*found.made.versions, *found.made.descendants]
    if learned:
        console.out.print(f"Learned from them: {escape(' '.join(learned))}. A new cycle trains without them.")


def backup(
    target: Annotated[Path, typer.Argument(help="the folder to write; must not be there yet")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Copy the deployment's home, each database at one moment, with a digest of every file. A gateway may go on."""
    from sharpen.backup import back_up
    from sharpen.database import shown
    from sharpen.loop import Loop

    loop = Loop.open(config)
    written = back_up(loop, target)
    console.out.print(f"wrote {escape(str(written))}", soft_wrap=True)
    if loop.config.store_url.startswith("postgresql"):
        console.out.print(f"The store {escape(shown(loop.config.store_url))} is not in it: dump it with pg_dump.")


def restore(
    source: Annotated[Path, typer.Argument(help="a folder that `sharpen backup` wrote")],
    home: Annotated[Path | None, typer.Option(help="where to; the configuration's `home` if left open")] = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Put a backup back, check every file and the journal, and bring the store to this version's schema."""
    from sharpen.backup import restore as put_back

    place = home or load(config).home
    found = put_back(source, place)
    console.out.print(f"restored to {escape(str(place))}", soft_wrap=True)
    if found is not None:
        console.out.print(escape(found.told))


def prune(
    newest: Annotated[
        int, typer.Option(min=0, help="versions that nobody deployed, of which the newest are kept")
    ] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without this, only show what would go")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Delete adapters, runs and Parquet snapshots that nothing refers to. What was ever deployed stays."""
    from sharpen.loop import Loop
    from sharpen.pruning import prunable
    from sharpen.pruning import prune as prunes

    loop = Loop.open(config)
    found = prunes(loop, newest) if yes else prunable(loop, newest)
    for one in found:
        console.out.print(f"{one.size / 1e6:9.1f} MB  {escape(str(one.path))}  ({one.why})", soft_wrap=True)
    total = sum(one.size for one in found) / 1e6
    told = "Deleted" if yes else "Would delete" if found else "Nothing to delete:"
    console.out.print(f"{told} {len(found)} folders, {total:.1f} MB.{'' if yes or not found else ' Do it with --yes.'}")
