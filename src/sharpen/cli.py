"""The command line: one verb per thing a person does.

In: arguments. Out: text, tables, exit status 1 for whatever went wrong and can be explained. Must not hold logic of its
own: every verb is a few lines over the parts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sharpen import console
from sharpen.children import die_with_parent
from sharpen.config import DEFAULT_PATH, Config, load, render
from sharpen.curation_cli import diff
from sharpen.curation_cli import explain as tell_of
from sharpen.errors import ConfigError, SharpenError
from sharpen.export_cli import export
from sharpen.fairness_cli import perspectives_app, reach, review_app, sources
from sharpen.keeping_cli import backup, forget, prune, restore
from sharpen.measuring_cli import judge, mark, outside, report
from sharpen.memory_cli import app as memory_app
from sharpen.rollout_cli import app as rollout_app
from sharpen.rollout_cli import monitor

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]
app.add_typer(memory_app, name="memory")
app.add_typer(perspectives_app, name="perspectives")
app.add_typer(review_app, name="review")
app.command()(sources)
app.command()(reach)
app.command()(forget)
app.command()(backup)
app.command()(restore)
app.command()(prune)
app.add_typer(rollout_app, name="rollout")
for verb in (monitor, diff, export, judge, report, outside, mark):
    app.command()(verb)
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


def main() -> None:
    """Run the command line; a mistake that we can explain ends without a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    die_with_parent()
    try:
        app()
    except SharpenError as error:
        console.complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        console.err.print("Interrupted. Nothing is lost: the same command goes on from the last finished step.")
        sys.exit(130)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="the configuration file to write")] = DEFAULT_PATH,
    base: Annotated[str, typer.Option(help="the weights: model id, folder, GGUF file or package:NAME")] = Config().base,
    suite: Annotated[str, typer.Option(help="the target: a JSONL file, or reasoning-gym:NAME")] = "",
) -> None:
    """Write the configuration with every default explained, and deploy version 0: the base as it is."""
    from sharpen.loop import Loop

    if not path.exists():
        chosen = Config.model_validate({"base": base, "evaluation": {"suite": suite}})
        try:
            path.write_text(render(chosen), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", "choose another path") from error
        console.out.print(f"wrote {path}")
    version = Loop.open(path).initialise()
    console.out.print(f"version 0 is [bold]{version.id}[/]. Next: sharpen serve")


@app.command()
def doctor(
    config: ConfigOption = DEFAULT_PATH,
    gap: Annotated[bool, typer.Option("--gap", help="also measure whether the model can judge its answers")] = False,
) -> None:
    """Check everything a cycle needs, and say what to do about what is missing."""
    from sharpen.doctor import examine

    if not examine(config, gap=gap):
        raise typer.Exit(1)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, help="which messages get a correction, and everything random")] = 0,
    json_path: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
    home: Annotated[Path, typer.Option(help="folder for the demo's store, adapters and report")] = Path(
        ".sharpen/demo"
    ),
) -> None:
    """Run one whole cycle on a real model: before, after, verdict, and a negative control."""
    from sharpen.demo.story import tell

    tell(home / f"seed-{seed}", seed, json_path)


@app.command()
def serve(
    config: ConfigOption = DEFAULT_PATH,
    host: Annotated[str | None, typer.Option(help="address; any but loopback needs a key")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="port")] = None,
) -> None:
    """Answer requests behind an OpenAI-compatible API."""
    from sharpen.gateway.run import serve as listen

    settings = load(config)
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    listen(settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changed)}))


@app.command()
def capture(
    path: Annotated[Path, typer.Argument(help="JSON lines, a JSON array or CSV, also .gz")],
    config: ConfigOption = DEFAULT_PATH,
    format_: Annotated[
        str, typer.Option("--format", help="openai, sharegpt, alpaca, langfuse, langsmith, mlflow, argilla, ...")
    ] = "",
    strict: Annotated[bool, typer.Option(help="rows of our own alone, all or nothing")] = False,
) -> None:  # fmt: skip
    """Import exchanges that were recorded elsewhere; what cannot be used goes to a file of its own, with reasons."""
    from sharpen.capture.importers import import_file, import_jsonl
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    if strict:
        traces, feedback = import_jsonl(store, path)
        console.out.print(f"imported {traces} exchanges and {feedback} pieces of feedback")
        return
    done = import_file(store, path, settings.home / "imports", format_=format_)
    console.out.print(f"imported {done.traces} exchanges and {done.feedback} pieces of feedback ({done.format})")
    if done.dead:
        console.warn(f"{done.bad} of {done.records} records could not be used; {done.dead} says why")


@app.command()
def cycle(
    config: ConfigOption = DEFAULT_PATH,
    until: Annotated[str | None, typer.Option(help="stop after this stage; the next cycle goes on from there")] = None,
    dry_run: Annotated[bool, typer.Option(help="say what there is to learn from, and do nothing")] = False,
    hours: Annotated[
        float | None, typer.Option(min=0, help="begin no further stage after so long; the next cycle goes on")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one pass of the loop, or go on with the one that was interrupted."""
    from sharpen.loop import Loop
    from sharpen.records import Feedback, Trace, TrainingRun

    if dry_run:
        store = Loop.open(config).store
        said = store.find(Feedback)
        corrected = sum(one.correction is not None for one in said)
        console.out.print(f"{store.count(Trace)} exchanges, {len(said)} pieces of feedback, {corrected} corrections")
        return
    with console.board() as board:
        loop = Loop.open(config, board)
        done = loop.cycle(until, float("inf") if hours is None else 3600 * hours)
    if as_json:
        console.out.print_json(done.model_dump_json())
        return
    console.out.print(console.cycle_table(done))
    if done.snapshot_id and done.version_id:
        for trained in loop.store.find(TrainingRun, subjects=[done.snapshot_id], newest=True, limit=1):
            console.out.print(console.training_line(trained))
    if done.verdict:
        console.out.print(console.report(done.verdict))


@app.command()
def run(
    config: ConfigOption = DEFAULT_PATH,
    once: Annotated[bool, typer.Option("--once", help="look once, run at most one cycle, end: for cron")] = False,
) -> None:
    """Run a cycle whenever one is due, as the section `run` says: by the clock, by new feedback, within a budget."""
    from sharpen.keeper import keep

    if status := keep(config, console.say, once=once):
        raise typer.Exit(status)


def _stage_verb(stage: str, help_: str) -> None:
    def verb(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
        cycle(config, until=stage, dry_run=False, as_json=as_json)

    app.command(stage, help=f"{help_} Runs the cycle up to here; the next command goes on.")(verb)


_stage_verb("critique", "Look at the answers again, and find better ones.")
_stage_verb("train", "Turn the training set into an adapter.")
_stage_verb("evaluate", "Measure champion, challenger and the in-context arm.")
_stage_verb("promote", "Put the challenger before the gate.")


@app.command()
def curate(
    explain: Annotated[str | None, typer.Option(help="a record's id: what becomes of it, and why")] = None,
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """Build the training set. Runs the cycle up to here; the next command goes on."""
    if explain is None:
        cycle(config, until="curate", dry_run=False, as_json=as_json)
    else:
        tell_of(config, explain)


@app.command()
def draw(method: Annotated[str, typer.Argument(help="a critique method, as in [critique] method")]) -> None:
    """Print a critique method's graph as Mermaid text."""
    from sharpen.critique.methods import draw as drawn

    print(drawn(method))  # noqa: T201 - the text as it is, without the console's markup and wrapping


@app.command()
def show(
    record_id: Annotated[str | None, typer.Argument(help="a record's id; without one, an overview")] = None,
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """Show one record, or an overview of the store. A verdict is shown in tables, see `sharpen report`."""
    from sharpen.overview import overview
    from sharpen.promotion.journal import Journal, check_journal
    from sharpen.records import Verdict
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    sound = check_journal(store, Journal.open(settings.home))
    if sound.faults:
        console.warn(f"The store does not agree with its journal: {sound.told}.")
    if record_id is None:
        console.out.print(overview(store))
        return
    found = store.lookup(record_id)
    if isinstance(found, Verdict) and not as_json:
        console.out.print(console.report(found))
    else:
        console.out.print_json(found.model_dump_json())


@app.command()
def why(
    version: Annotated[
        str,
        typer.Argument(help="a version's id, champion or previous; or an example's, an exchange's or a feedback's id"),
    ] = "champion",
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """Print what a version was made of, back to the exchanges it learned from."""
    if version.startswith(("exa_", "fbk_", "trc_")):
        from sharpen.curation_cli import explain

        explain(config, version)
        return
    from sharpen.lineage.provenance import as_dict
    from sharpen.lineage.provenance import render as tree
    from sharpen.lineage.provenance import why as trace_back
    from sharpen.store import Store

    provenance = trace_back(Store.open(load(config).store_url), version)
    if as_json:
        console.out.print_json(json.dumps(as_dict(provenance), default=str))
    else:
        console.out.print(tree(provenance))


@app.command()
def undo(
    reason: Annotated[str, typer.Option(help="why, in one sentence")] = "Undone by hand.",
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Serve the previous version again, at once."""
    from sharpen.promotion.journal import Journal
    from sharpen.promotion.registry import undo as go_back
    from sharpen.store import Store
    from sharpen.tracking.mlflow import follow

    settings = load(config)
    deployment = go_back(Store.open(settings.store_url), Journal.open(settings.home), reason)
    follow(settings, deployment)
    console.out.print(f"[bold]{deployment.version_id}[/] serves again; gateways follow within a second.")


@app.command()
def install(
    name: Annotated[str, typer.Argument(help="an extra, or qlora, deepspeed, deepchecks, promptfoo, autogen")],
) -> None:
    """Install a part that is not there yet: here, or in a folder of its own where its pins would clash."""
    from sharpen.install import install as fetch

    fetch(name, console.out.print)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="which promise to measure")] = "generation",
    json_path: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
) -> None:
    """Measure a promise of speed against a named peer, in one run."""
    from sharpen.benchmarks import run as measure

    measure(name, json_path)


if __name__ == "__main__":
    main()
