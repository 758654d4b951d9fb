"""The demo, told in order: before, feedback, one cycle, after, and what else could have been done.

In: a folder and a seed. Out: figures as JSON, a report as HTML, tables in the terminal. Must not do anything that a
user could not do with the same parts.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sharpen import console
from sharpen.config import Config, load, render
from sharpen.console import Board
from sharpen.demo import baseline, customers, inbox, report, whatif
from sharpen.errors import BoundaryError
from sharpen.evaluation.arms import Arm
from sharpen.lineage.provenance import example_lineage
from sharpen.loop import Loop
from sharpen.records import Case, Cycle, Feedback, Trace, Verdict
from sharpen.stats import Interval, mean_interval, paired_difference, sign_flip_p

CORRECTED_SHARE = 0.5  # chosen: half of the wrong answers get a correction; the rest has to be found by the loop
BEFORE, IN_CONTEXT, AFTER = "base", "in_context", "promoted"


@dataclass
class Clock:
    """Seconds per chapter, and the most memory that this process and its children held."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int = 0

    @contextmanager
    def chapter(self, name: str) -> Iterator[None]:
        """Time a part of the story."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)

    @contextmanager
    def watching(self, every_s: float = 1.0) -> Iterator[None]:
        """Sample memory while the block runs, as proportional set size: the processes map the same weights file."""
        ended = threading.Event()

        def look() -> None:
            own = psutil.Process()
            while not ended.wait(every_s):
                total = 0
                for process in [own, *own.children(recursive=True)]:
                    try:
                        memory = process.memory_full_info()
                        total += getattr(memory, "pss", memory.rss)
                    except (psutil.NoSuchProcess, psutil.AccessDenied):
                        continue
                self.peak_rss_bytes = max(self.peak_rss_bytes, total)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def tell(home: Path, seed: int, json_path: Path | None) -> None:
    """Run the demo in `home`, from nothing. An earlier demo's folder is replaced; other folders are refused."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the demo fetches nothing but packages
    clock = Clock()
    started = time.monotonic()
    path = _fresh(home, seed)
    console.out.print(
        f"[bold]A shop's support inbox[/]: {inbox.count().total()} messages, {len(inbox.TEAMS)} teams. "
        "The model has to say which team should answer."
    )
    with clock.watching(), console.board() as board:
        figures = _chapters(path, seed, clock, board)
    figures |= {
        "seconds": clock.seconds | {"total": round(time.monotonic() - started, 2)},
        "peak_rss_bytes": clock.peak_rss_bytes,
    }
    report.write_report(figures, home / "report.html")
    text = json.dumps(figures, indent=1, sort_keys=True)
    for target in filter(None, (home / "figures.json", json_path)):
        target.write_text(text + "\n", encoding="utf-8")
    console.out.print(report.summary_tables(figures))
    console.out.print(f"The report with plots: {home / 'report.html'}")
    console.out.print(f"What the new version is made of: sharpen why champion --config {path}")


def _fresh(home: Path, seed: int) -> Path:
    """Write the configuration and the suites; returns the configuration's path."""
    if home.exists() and any(home.iterdir()) and not (home / "demo").is_file():
        raise BoundaryError(f"{home} is not an earlier demo's folder.", "sharpen demo --home ANOTHER-FOLDER")
    shutil.rmtree(home, ignore_errors=True)
    target, guard = inbox.write_suites(home)
    (home / "demo").write_text("This folder was made by `sharpen demo`; the next demo replaces it.\n")
    settings = Config.model_validate(
        {
            "pace": "demo",
            "home": home / "state",
            "seed": seed,
            "critique": {"examples": 4, "max_new_tokens": 6},
            "evaluation": {"suite": target.name, "guards": [guard.name], "in_context": 4, "max_new_tokens": 8},
            # chosen: what 80 questions can exclude when one in seven changes its answer
            "promotion": {"guard_margin": 0.15},
        }
    ).model_copy(update={"home": Path("state")})
    path = home / "sharpen.toml"
    path.write_text(render(settings), encoding="utf-8")
    return path


def _chapters(path: Path, seed: int, clock: Clock, board: Board) -> dict[str, Any]:
    loop = Loop(load(path), board)
    with clock.chapter("load"):
        board("load the model", 0, 0)
        base = loop.initialise()
        loop.ready(base.id)
        board("load the model", 1, 1)
    suite, limit = loop.target, loop.config.evaluation.max_new_tokens
    train_cases, vault = suite.tier("train"), suite.tier("vault")
    with customers.gateway(path, _free_port(), path.with_name("gateway.log")) as url:
        with clock.chapter("serve"):
            served = customers.ask(url, train_cases, loop.report("customers ask"), max_tokens=limit)
            before = customers.ask(url, vault, loop.report("held out, before"), max_tokens=limit)
            given = customers.respond(url, train_cases, served, seed=seed, corrected_share=CORRECTED_SHARE)
        started = time.monotonic()
        with clock.chapter("cycle"):
            cycle = loop.cycle()
        cycle_seconds = time.monotonic() - started
        verdict = cycle.verdict
        if verdict is None or cycle.version_id is None or cycle.snapshot_id is None:
            raise BoundaryError("The demo's cycle ended without a verdict.", "sharpen show")
        after: list[customers.Answer] = []
        if cycle.deployed:
            with clock.chapter("swap"):
                customers.wait_for(url, cycle.version_id)
            with clock.chapter("serve again"):
                after = customers.ask(url, vault, loop.report("held out, after"), max_tokens=limit)
    figures: dict[str, Any] = {"seed": seed, "model": loop.config.base, "corrections_given": given}
    figures |= _cycle_figures(loop, cycle, verdict, cycle_seconds)
    with clock.chapter("measure"):
        figures |= _measure(loop, cycle, vault, before, after)
    with clock.chapter("negative control"):
        control = whatif.negative_control(loop, verdict)
        figures["negative_control"] = {"decision": control.decision, "reason": control.reason}
        figures["negative_control"]["score"] = control.comparisons[0].challenger if control.comparisons else None
    with clock.chapter("own answers alone"):
        figures |= _own_answers(loop, figures["arms"], vault)
    with clock.chapter("baseline"):
        # The same labels that the model learned from, and nothing else.
        labelled = [
            (one.messages[-1].content, one.chosen)
            for one in whatif.examples_of(loop, cycle.snapshot_id)
            if one.chosen is not None
        ]
        values = baseline.minilm_scores(labelled, [(case.messages[-1].content, case.reference) for case in vault])
        figures["arms"]["baseline_minilm"] = _shown(mean_interval(values))
    return figures


def _cycle_figures(loop: Loop, cycle: Cycle, verdict: Verdict, cycle_seconds: float) -> dict[str, Any]:
    examples = whatif.examples_of(loop, str(cycle.snapshot_id))
    counts = {origin: sum(one.origin == origin for one in examples) for origin in report.ORIGINS}
    model_seconds = sum(stage.model_seconds for stage in cycle.stages)
    corrected = next((one for one in examples if one.origin == "correction"), examples[0])
    lineage = example_lineage(loop.store, corrected.id)
    return {
        "verdict": verdict.model_dump(mode="json"),
        "versions": {BEFORE: verdict.champion_id, AFTER: cycle.version_id},
        "examples": counts,
        "stages": {one.stage: {"seconds": one.seconds, "model_seconds": one.model_seconds} for one in cycle.stages},
        "cycle_seconds": round(cycle_seconds, 2),
        "overhead_share": round(1 - model_seconds / cycle_seconds, 4),
        "lineage": {
            "example": lineage.example.model_dump(mode="json"),
            "evidence": [record.model_dump(mode="json") for record in lineage.evidence],
        },
        "exchanges": loop.store.count(Trace),
        "feedback": loop.store.count(Feedback),
    }


def _measure(
    loop: Loop,
    cycle: Cycle,
    vault: Sequence[Case],
    before: Sequence[customers.Answer],
    after: Sequence[customers.Answer],
) -> dict[str, Any]:
    """Score the held-out answers, exactly and by log-probability choice, and compare them in pairs."""
    suite, base = loop.target, loop.base_version.id
    in_context = loop.in_context(str(cycle.snapshot_id))
    exact = {
        BEFORE: _values(loop, vault, before),
        IN_CONTEXT: [float(score.value or 0) for score in loop.score(suite, "vault", in_context, "evl_vault")],
    }
    zero_shot = {BEFORE: Arm(BEFORE, base), IN_CONTEXT: in_context}
    if after:
        exact[AFTER] = _values(loop, vault, after)
        zero_shot[AFTER] = Arm(AFTER, str(cycle.version_id))
    choice = {}
    for name, arm in zero_shot.items():
        scores = loop.score(suite.by_choice(), "vault", arm, "evl_vault_choice")
        choice[name] = _shown(mean_interval([float(score.value or 0) for score in scores]))
    arms = {name: _shown(mean_interval(values)) for name, values in exact.items()}
    figures: dict[str, Any] = {"arms": arms, "by_choice": choice, **arms}
    if after:
        figures["paired"] = _paired(exact[AFTER], exact[BEFORE])
        figures["paired_in_context"] = _paired(exact[AFTER], exact[IN_CONTEXT])
        figures["answers"] = _stories(vault, before, after)
    return figures


def _own_answers(loop: Loop, arms: dict[str, Any], vault: Sequence[Case]) -> dict[str, Any]:
    version, counts, copy = whatif.without_corrections(loop)
    if version is None:
        return {"own_answers": {"examples": counts, "note": "too few own answers were verified to train on"}}
    scores = copy.score(copy.target, "vault", Arm("own_answers", version.id), "evl_vault")
    arms["no_corrections"] = _shown(mean_interval([float(score.value or 0) for score in scores]))
    return {"own_answers": {"examples": counts}}


def _values(loop: Loop, cases: Sequence[Case], answers: Sequence[customers.Answer]) -> list[float]:
    return [loop.target.score(case, answer.text)[0] or 0.0 for case, answer in zip(cases, answers, strict=True)]


def _paired(first: list[float], second: list[float]) -> dict[str, float]:
    interval = paired_difference(first, second)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return {
        "effect": interval.value,
        "low": interval.low,
        "high": interval.high,
        "p_value": sign_flip_p(differences),
        "n": interval.n,
    }


def _stories(
    vault: Sequence[Case], before: Sequence[customers.Answer], after: Sequence[customers.Answer]
) -> list[dict[str, str]]:
    """Return the first three held-out messages, whatever became of them: not the best ones."""
    return [
        {"message": case.messages[-1].content, "team": case.reference, "before": old.text, "after": new.text}
        for case, old, new in list(zip(vault, before, after, strict=True))[:3]
    ]


def _shown(interval: Interval) -> dict[str, float]:
    return {"score": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
