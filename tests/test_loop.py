"""One real cycle, with everything that a gate is promised to do in it; the model is tiny, nothing else is."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sharpen import console
from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.cli import app
from sharpen.config import load, parse, render
from sharpen.loop import Loop
from sharpen.models.engine import Generation
from sharpen.promotion.journal import Journal, check_journal
from sharpen.records import Deployment, Score, Verdict
from sharpen.testing import tiny_model
from tests.conformance import tell
from tests.faults import cycles
from tests.tracking.test_langsmith import Server

GUARDS = ("manners", "region")


@dataclass(frozen=True)
class Done:
    """A finished cycle: where it is, what the command said, what it decided, what other tools were told."""

    config: Path
    said: str
    verdict: Verdict
    told: Server

    def command(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])


def rows(
    chance: random.Random, words: list[str], tiers: dict[str, int], region: bool = False
) -> list[dict[str, object]]:
    """Return cases whose answer is always "yes": a task that a model of a million parameters can learn."""
    made: list[dict[str, object]] = []
    for tier, count in tiers.items():
        for n in range(count):
            row = {"prompt": " ".join(chance.sample(words, 5)), "reference": "yes", "tier": tier}
            made.append(row | ({"groups": {"region": ("north", "south")[n % 2]}} if region else {}))
    return made


def build(folder: Path, langsmith: str) -> Path:
    words = (Path(cycles.__file__).with_name("words.txt")).read_text().split()
    chance = random.Random(11)
    suites = {
        "target": rows(chance, words, {"train": 24, "gate": 40, "vault": 30}),
        "manners": rows(chance, words, {"gate": 40}),
        "region": rows(chance, words, {"gate": 400}, region=True),  # long enough to be looked at on the way
    }
    for row in [one for one in suites["target"] if one["tier"] == "gate"][:10]:
        row["reference"] = "no"  # nothing that can be learned from "yes"
    for name, some in suites.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    texts = [*(str(row["prompt"]) for some in suites.values() for row in some), "yes no"]
    base = tiny_model(folder / "base", texts=texts * 20)
    config = parse(
        {
            "base": str(base),
            "pace": "demo",
            "home": str(folder / "state"),
            "models": {"threads": 1},
            "critique": {"rounds": 1, "samples": 1, "max_new_tokens": 4},
            "training": {"epochs": 20.0, "learning_rate": 0.01, "attempts": 1},
            "evaluation": {
                "suite": str(folder / "target.jsonl"), "max_new_tokens": 4, "in_context": 2,
                "guards": [str(folder / f"{name}.jsonl") for name in GUARDS],
            },
            "promotion": {"guard_margin": 0.15, "group_margin": 0.25, "effect": 0.3},
            "tracking": {"mlflow": True, "wandb": True, "langsmith": langsmith},
        }
    )  # fmt: skip
    path = folder / "sharpen.toml"
    path.write_text(render(config))
    loop = Loop(load(path))
    version = loop.initialise()
    for case in loop.target.tier("train"):
        reply = Generation("who knows", 9, 2, "stop")
        trace = record_trace(
            loop.store, messages=case.messages, generation=reply, version_id=version.id, trace_id=f"trc_{case.id}"
        )
        record_feedback(loop.store, trace_id=trace.id, rating=-1, correction="yes")
    loop.engine.close()
    loop.store.close()
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGSMITH_API_KEY", "k")
        patch.setattr(console.out, "width", 190)  # rows in one line, whatever the terminal
        server = Server()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        config = build(tmp_path_factory.mktemp("loop"), f"http://127.0.0.1:{server.server_port}")
        result = CliRunner().invoke(app, ["cycle", "--config", str(config)])
        assert result.exit_code == 0, result.output
        [verdict] = Loop(load(config)).store.find(Verdict)
        yield Done(config, result.output, verdict, server)
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_the_cycle_promotes_and_its_report_shows_every_guard_and_group(
    done: Done, record_property: Callable[[str, object], None]
) -> None:
    assert done.verdict.decision == "promote", done.said
    tell(record_property, "what `sharpen cycle` says of a real cycle, on a tiny model", done.said)
    shown = [line for line in done.said.splitlines() if "loses less than" in line]
    for place in ("manners", "region", "region [region=north]", "region [region=south]"):
        assert any(f" {place} " in line and "passed" in line for line in shown), done.said
    for against in ("champion", "in-context"):
        assert any("gains" in line and against in line for line in done.said.splitlines())


def test_a_long_suite_is_asked_no_further_than_it_takes(done: Done) -> None:
    """The e-process sees enough in the first eighths of 400 cases; the rest is never asked."""
    claims = [one for one in done.verdict.comparisons if one.suite == "region" and one.group is None]
    assert [(one.planned, one.state) for one in claims] == [(400, "passed")]
    assert claims[0].n in (50, 100)
    assert (claims[0].e_value or 0) > 1 / done.verdict.alpha_spent
    asked = {one.case_id for one in Loop(load(done.config)).store.find(Score) if one.suite == "region"}
    assert len(asked) == claims[0].n
    assert f"{claims[0].n} of 400" in done.said


def test_both_controls_ran_on_the_cycles_own_scores(done: Done) -> None:
    assert set(done.verdict.controls) == {"a/a on target", "planted on manners", "planted on region"}
    assert all(share <= 0.1 for share in done.verdict.controls.values())
    assert "Controls that came through" in done.said


def test_the_gain_was_estimated_once_more_on_the_vault_and_that_is_what_is_reported(done: Done) -> None:
    published = done.verdict.published
    assert published is not None
    assert published.n == 30
    scores = Loop(load(done.config)).store.find(Score)
    assert {one.case_id for one in scores if one.tier == "vault"}.isdisjoint(
        one.case_id for one in scores if one.tier == "gate"
    )
    assert sum(one.tier == "vault" for one in scores) == 60
    assert f"To report: {100 * published.effect:+.1f} points on 30 vault cases" in done.said


def test_the_page_of_the_cycle_is_computed_and_shown(done: Done) -> None:
    found = {one.name: one for one in done.verdict.vitals}
    assert {one.sign for one in found.values()} == {
        "diversity", "length", "real data", "kl", "judge gap", "contamination", "canaries"
    }  # fmt: skip
    assert {f"contaminated cases of {name}" for name in ("target", *GUARDS)} <= set(found)
    assert found["KL to the first version"].value is not None, found["KL to the first version"].note
    assert found["trained judge's gain minus held-out judge's"].value is not None
    assert 0 < (found["real-data share"].value or 0) <= 1
    for name in found:
        assert name in done.said


def test_mlflow_weights_and_biases_and_langsmith_were_told_by_the_cycle(done: Done) -> None:
    home = load(done.config).home
    arms = {run["name"] for run in done.told.runs.values()}
    assert arms == {"challenger", "champion", "in_context"}
    assert len(done.told.feedback) == 3 * 40
    assert (
        [path.name for path in (home / "wandb").glob("offline-run-*")]
        == [path.name for path in (home / "wandb").glob(f"offline-run-*-{done.verdict.challenger_id}")]
        != []
    )
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("sharpen").experiment_id])
    assert sum("target/challenger" in run.data.metrics for run in runs) == 1
    assert sum("exact/mean" in run.data.metrics for run in runs) == 3
    alias = client.get_model_version_by_alias("sharpen", "champion")
    assert alias.tags["sharpen.version_id"] == done.verdict.challenger_id


def test_too_little_evidence_says_how_many_more_cases_would_decide(done: Done) -> None:
    """The cycle's own scores, before a gate that asks for more than they can show."""
    loop = Loop(load(done.config))
    gate = [one for one in loop.store.find(Score) if one.tier == "gate"]
    wanted = {case.id: case.reference for case in loop.target.tier("gate")}
    few = [*[one for one in wanted if wanted[one] == "yes"][:5], *[one for one in wanted if wanted[one] == "no"][:5]]
    weak = [one for one in gate if one.suite != "target" or one.case_id in few]
    loop.config = loop.config.model_copy(
        update={"promotion": loop.config.promotion.model_copy(update={"alpha": 0.0005})}
    )
    cases = tuple(one for one in loop.target.cases if one.tier != "gate" or one.id in few)
    object.__setattr__(loop.target, "cases", cases)
    names = {"champion_id": done.verdict.champion_id, "challenger_id": done.verdict.challenger_id}
    held = loop.judge(weak, cycle_id="cycle-0002", attempt=1, **names)
    assert held.decision == "hold"
    assert held.more_cases is not None
    assert f"{held.more_cases:,} more cases would probably decide" in held.reason


def test_report_and_show_print_what_the_cycle_printed(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 190)
    whole = done.command("report")
    assert whole.exit_code == 0
    assert whole.output.strip() in done.said
    assert done.command("show", done.verdict.id).output == whole.output
    assert json.loads(done.command("report", "cycle-0001", "--json").output)["id"] == done.verdict.id
    assert json.loads(done.command("show", done.verdict.id, "--json").output)["id"] == done.verdict.id


def test_the_journal_vouches_for_the_page_as_for_the_decision(done: Done) -> None:
    settings = load(done.config)
    store = Loop(settings).store
    assert check_journal(store, Journal.open(settings.home)).faults == ()
    assert [one.version_id for one in store.find(Deployment)] == [done.verdict.champion_id, done.verdict.challenger_id]
