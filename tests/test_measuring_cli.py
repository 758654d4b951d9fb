"""`sharpen report` and `sharpen mark`. `judge` and `outside` are tested where their work is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sharpen import console
from sharpen.cli import app
from sharpen.console import vitals_table
from sharpen.records import Comparison, Verdict, Vital
from sharpen.store import Store
from sharpen.verify.contamination import canary_hits
from sharpen.verify.suites import load_suite

ROWS = [
    {"prompt": "Capital of Norway?", "system": "One word.", "reference": "Oslo", "tier": "gate", "tags": ["easy"]},
    {"prompt": "Where is it?", "reference": "north", "choices": ["north", "south"], "groups": {"region": "n"}},
    {"prompt": "Legs?", "reference": "eight", "choices": ["six", "eight"], "kind": "choice"},
    {"turns": ["Pick one.", "Say it again."], "reference": "[1-9]", "scorer": "pattern", "system": "Be brief."},
    {"prompt": "Who?", "contexts": ["Ann did it."], "reference": "Ann", "scorer": "contains_one"},
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(console.out, "width", 200)
    path = tmp_path / "sharpen.toml"
    path.write_text('home = "state"\n')
    return path


def command(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def test_a_marked_copy_asks_the_same_and_every_prompt_carries_the_canary(config: Path, tmp_path: Path) -> None:
    source, copy = tmp_path / "cases.jsonl", tmp_path / "public.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert command(config, "mark", str(source), str(copy)).exit_code == 0
    ours, theirs = load_suite(str(source)), load_suite(str(copy))
    assert len(ours.cases) == len(theirs.cases) == len(ROWS)
    told = [case.messages[-1].content for case in theirs.cases]
    mark = told[0].rpartition("\n\n")[2]
    assert canary_hits(told, mark) == list(range(len(ROWS)))
    for one, two in zip(ours.cases, theirs.cases, strict=True):
        same = ("reference", "choices", "groups", "tags", "kind", "tier", "cluster")
        assert [getattr(one, name) for name in same] == [getattr(two, name) for name in same]
        assert ours.scorer_of(one) == theirs.scorer_of(two)
        assert two.messages[-1].content == f"{one.messages[-1].content}\n\n{mark}"
        assert two.messages[:-1] == one.messages[:-1]
    again = command(config, "mark", str(source), str(copy))
    assert again.exit_code == 1
    assert "is there already" in str(again.exception)


def test_another_deployment_has_another_canary(config: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    other = tmp_path / "other.toml"
    other.write_text('home = "elsewhere"\n')
    for path, name in ((config, "one"), (other, "two")):
        assert command(path, "mark", str(tmp_path / "cases.jsonl"), str(tmp_path / name)).exit_code == 0
    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()


def verdict(store: Store) -> Verdict:
    made = Verdict(
        id="vdt_1", cycle_id="cycle-0007", champion_id="ver_0", challenger_id="ver_1", decision="hold", attempt=3,
        reason="Hold: guard small is unarmed.", alpha_spent=0.004, alpha=0.05, unarmed=("small",), more_cases=412,
        controls={"a/a on target": 0.01},
        comparisons=(
            Comparison(
                against="first", suite="small", group="region=north", n=12, planned=40, challenger=0.5, other=0.5,
                effect=0.0, low=-0.2, high=0.2, level=0.99, p_value=1.0, claim="not_worse", boundary=-0.05,
                state="unarmed", resolves=0.31,
            ),
            Comparison(
                against="floor", suite="small", n=40, planned=40, challenger=0.5, other=0.9, effect=-0.4, low=-0.5,
                high=-0.2, level=0.99, p_value=1.0, claim="floor", boundary=0.9, state="failed",
            ),
        ),
        vitals=(Vital(sign="kl", name="KL to the first version", value=0.61, warn=0.25, alarm=0.5, state="alarm"),),
    )  # fmt: skip
    store.append(made)
    return made


def test_a_report_shows_each_guard_with_what_it_resolves_and_how_many_cases_would_decide(config: Path) -> None:
    store = Store.open(f"sqlite:///{config.parent / 'state' / 'store.db'}")
    made = verdict(store)
    shown = command(config, "report", "cycle-0007").output
    for told in (
        "small [region=north]", "loses less than 5, resolves 31.0", "12 of 40", "unarmed", "mean above 90 %", "failed",
        "412 more cases would probably decide", "a/a on target: 1.0%", "alpha spent 0.0040 of 0.05",
        "KL to the first version", "alarm",
    ):  # fmt: skip
        assert told in shown, (told, shown)
    assert json.loads(command(config, "report", "--json").output)["id"] == made.id


def test_where_nothing_was_decided_it_says_what_to_type(config: Path) -> None:
    done = command(config, "report")
    assert done.exit_code == 1
    assert "There is no verdict of any cycle yet" in str(done.exception)


def test_a_page_without_a_value_shows_why() -> None:
    table = vitals_table(
        [Vital(sign="kl", name="KL", value=None, warn=0.25, alarm=0.5, state="unmeasured", note="no [replies]")]
    )
    assert list(table.columns[1].cells) == [""]
    assert list(table.columns[5].cells) == [r"no \[replies]"]
