"""The verbs that measure: `sharpen judge`, `report`, `outside`, `mark`.

In: arguments. Out: text and tables; exit status 1 where a judge may only advise or an evaluator failed. Must not hold
logic of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sharpen import console
from sharpen.config import DEFAULT_PATH, load
from sharpen.errors import ConfigError, NotFound

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


def judge(
    gold: Annotated[Path, typer.Argument(help="JSONL: prompt, reply, good; optional reference, group, author")],
    rubric: Annotated[str, typer.Option(help="what is judged: helpfulness, safety, ...")] = "helpfulness",
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """Measure the configured judge on replies that people have judged: may it label and gate, or only advise?"""
    from sharpen.loop import Loop
    from sharpen.verify.judge_gold import read_gold
    from sharpen.verify.judge_trials import try_judge
    from sharpen.verify.judges import open_judge

    rows = read_gold(gold)
    with console.board() as board:
        bench = Loop.open(config, board)
        settings = bench.config.evaluation
        found = open_judge(settings.judge, rubric, own=bench.champion)
        trial = try_judge(found, rows, bench.store, days=settings.judge_days, on_progress=board)
    if as_json:
        console.out.print_json(trial.model_dump_json())
    else:
        console.out.print(console.trial_table(trial))
    if trial.faults:
        raise typer.Exit(1)


def report(
    cycle_id: Annotated[str | None, typer.Argument(help="a cycle's id; without one, the last cycle's")] = None,
    config: ConfigOption = DEFAULT_PATH,
    as_json: JsonOption = False,
) -> None:
    """Show what the gate decided and on what: every claim and guard, the controls, the cycle's page."""
    from sharpen.records import Verdict
    from sharpen.store import Store

    store = Store.open(load(config).store_url)
    found = store.find(Verdict, subjects=[cycle_id] if cycle_id else None, newest=True, limit=1)
    if not found:
        raise NotFound(f"There is no verdict of {cycle_id or 'any cycle'} yet.", "sharpen cycle")
    if as_json:
        console.out.print_json(found[0].model_dump_json())
    else:
        console.out.print(console.report(found[0]))


def outside(config: ConfigOption = DEFAULT_PATH) -> None:
    """Ask outside evaluators about the last evaluation, and tell the tools of `tracking`. It decides nothing."""
    from sharpen.evaluation.opinions import ask
    from sharpen.evaluation.outside import mean
    from sharpen.loop import Loop
    from sharpen.records import ModelVersion, TrainingRun
    from sharpen.tracking.mirrors import tell
    from sharpen.verify.judges import open_judge

    loop = Loop.open(config)
    spec = loop.config.evaluation.judge or "engine"
    found = ask(loop.config, loop.store, loop.target, lambda: open_judge(spec, "helpfulness", own=loop.champion))
    scores = (*found.own, *found.outside)
    arms = ("champion", "challenger", *sorted({one.arm for one in scores} - {"champion", "challenger"}))
    console.out.print(console.opinions_table({arm: mean([one for one in scores if one.arm == arm]) for arm in arms}))
    for error in found.failed.values():
        console.complain(error)
    version = loop.store.get(ModelVersion, found.verdict.challenger_id)
    run = loop.store.get(TrainingRun, version.run_id) if version.run_id else None
    for line in tell(loop.config, loop.target.cases, scores, version, run=run, means=found.verdict.means):
        console.out.print(line)
    if found.failed:
        raise typer.Exit(1)


def mark(
    suite: Annotated[str, typer.Argument(help="a suite of your own: FILE.jsonl, FILE.csv, FILE.parquet")],
    target: Annotated[Path, typer.Argument(help="the JSONL file to write")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write a suite's copy for publishing, with a canary behind each prompt, which every cycle looks for."""
    from sharpen.durable import write_text
    from sharpen.verify.contamination import marked
    from sharpen.verify.rows import to_row
    from sharpen.verify.suites import load_suite
    from sharpen.workbench import Workbench

    bench = Workbench(load(config))
    found = load_suite(suite, seed=bench.config.seed, data=bench.config.evaluation.data_folder)
    if target.exists():
        raise ConfigError(f"{target} is there already.", "choose another name")
    rows = [to_row(case, found.scorer_of(case)) for case in marked(found.cases, bench.mark_of(found.name))]
    write_text(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    console.out.print(f"wrote {len(rows)} cases to {target}; keep {suite} to yourself, and publish only this copy")
