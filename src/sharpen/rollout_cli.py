"""The verbs of `sharpen rollout` and `sharpen monitor`: see a canary, move it, stop it; look at live traffic.

In: arguments. Out: text and tables. Must not hold logic of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sharpen import console
from sharpen.config import DEFAULT_PATH, Config, load

app = typer.Typer(no_args_is_help=True, help="A canary on its way: see it, move it on, stop it.")
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]


@app.command()
def status(config: ConfigOption = DEFAULT_PATH) -> None:
    """Say how far the canary is, and what speaks against it. Changes nothing."""
    _look(load(config), move=False)


@app.command()
def advance(config: ConfigOption = DEFAULT_PATH) -> None:
    """Look once, and do what follows: on to the next share, back, or nothing. A running server does it by itself."""
    _look(load(config), move=True)


@app.command()
def stop(
    reason: Annotated[str, typer.Option(help="why, in one sentence")] = "Stopped by hand.",
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Give all traffic back to the champion, at once."""
    from sharpen.promotion.journal import Journal
    from sharpen.promotion.registry import undo
    from sharpen.promotion.rollout import on_its_way
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    if on_its_way(store) is None:
        console.out.print("No canary is on its way.")
        return
    deployment = undo(store, Journal.open(settings.home), reason)
    console.out.print(Text(f"'{deployment.version_id}' answers everything again."))


def monitor(
    config: ConfigOption = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look at live traffic once: the newest window of each measure; write down and send what is not normal."""
    from sharpen.monitoring.charts import TRAITS
    from sharpen.monitoring.outbox import Outbox
    from sharpen.monitoring.watch import Watch
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    watch, outbox = Watch(store, settings.monitoring), Outbox(store, settings.monitoring)
    alerts = watch.look()
    new, arrived = outbox.put(alerts), outbox.deliver()
    if as_json:
        console.out.print_json(json.dumps([one.as_dict() for one in alerts]))
        return
    table = Table("version", "measure", "windows", "values in the newest", "known", box=None, pad_edge=False)
    for one in watch.latest():
        known = "yes" if one.is_known else "gathering"
        table.add_row(one.version_id, TRAITS[one.measure].name, str(one.windows), str(one.window.n), known)
    console.out.print(table)
    for alert in alerts:
        console.out.print(Text(alert.text, "bold red"))
    console.out.print(f"{len(alerts)} not normal, {len(new)} of them new; {arrived} sent, {outbox.waiting()} wait")


def _look(settings: Config, *, move: bool) -> None:
    from sharpen.promotion.journal import Journal
    from sharpen.promotion.rollout import Pilot
    from sharpen.store import Store
    from sharpen.tracking.mlflow import follow

    store = Store.open(settings.store_url)
    look = Pilot(store, Journal.open(settings.home), settings.rollout).look(move=move)
    if look is None:
        champion = store.champion()
        console.out.print(Text(f"No canary is on its way; '{champion.version_id}' answers."))
        return
    canary = look.canary
    console.out.print(Text(f"'{canary.challenger_id}' answers {canary.share:.0%} beside '{canary.champion_id}'."))
    table = Table("harm", "evidence", "shown", box=None, pad_edge=False)
    for one in look.harms:
        table.add_row(one.kind, one.told, "yes" if one.is_shown else "no")
    console.out.print(table)
    console.out.print(Text(f"{look.decision}: {look.reason}"))
    if look.deployment.id != canary.deployment.id:
        follow(settings, look.deployment)
