"""One screen says who serves, what was tried and what the gate said."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from sharpen.overview import overview
from sharpen.records import Comparison, Deployment, ModelVersion, TrainingRun, Verdict
from sharpen.store import Store


def shown(store: Store, width: int = 160) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(overview(store))
    return console.export_text()


def version(name: str, **fields: Any) -> ModelVersion:
    return ModelVersion(id=name, base="tiny", base_digest="b", template_digest="t", **fields)


def verdict(number: int, decision: Any, challenger: float, other: float) -> Verdict:
    target = Comparison(
        against="champion", suite="inbox", n=100, challenger=challenger, other=other, effect=challenger - other,
        low=-0.1, high=0.1, level=0.95, p_value=0.2,
    )  # fmt: skip
    return Verdict(
        id=f"vdt_{number}", cycle_id=f"cycle-{number:04d}", champion_id="ver_0", challenger_id=f"ver_{number}",
        decision=decision, reason=f"{decision.capitalize()}: because [{number}].", comparisons=(target,),
        alpha_spent=0.01, attempt=number,
    )  # fmt: skip


def fill(store: Store) -> None:
    """Two versions on the base: the first was held, the second serves."""
    store.append(version("ver_0"))
    for number in (1, 2):
        run = TrainingRun(
            id=f"run_{number}", snapshot_id="snp_1", method="sft", recipe={}, seed=0, adapter_digest=f"a{number}",
            seconds=61.0, model_seconds=50.0,
        )  # fmt: skip
        store.append(run, version(f"ver_{number}", adapter_digest=f"a{number}", parent="ver_0", run_id=run.id))
    store.append(verdict(1, "hold", 0.25, 0.125), verdict(2, "promote", 0.75, 0.5))
    store.append(
        Deployment(id="dep_0", version_id="ver_0", shares={"ver_0": 1.0}, reason="The bare base."),
        Deployment(
            id="dep_2", version_id="ver_2", shares={"ver_2": 1.0}, previous_id="ver_0", reason="It is [better]."
        ),
    )


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_an_empty_store_says_what_to_type(sqlite_store: Store) -> None:
    assert "Next: sharpen init" in shown(sqlite_store)


def test_each_version_stands_with_its_run_its_score_and_its_verdict(any_store: Store) -> None:
    fill(any_store)
    text = shown(any_store)
    versions = text[text.index("versions, newest first") :]
    assert line(versions, "ver_2").split() == ["ver_2", "champion", "run_2", "sft,", "61", "s", "75.0%", "promote"]
    assert line(versions, "ver_1").split() == ["ver_1", "run_1", "sft,", "61", "s", "25.0%", "hold"]
    assert line(versions, "ver_0").split() == ["ver_0", "previous", "the", "bare", "base", "50.0%"]


def test_the_champion_stands_first_with_the_reason(sqlite_store: Store) -> None:
    fill(sqlite_store)
    first = shown(sqlite_store).splitlines()[0]
    assert first.startswith("ver_2 serves since ")
    assert first.rstrip().endswith("It is [better].")


def test_the_last_five_verdicts_are_shown_newest_first(sqlite_store: Store) -> None:
    fill(sqlite_store)
    sqlite_store.append(*(verdict(number, "reject", 0.1, 0.5) for number in range(3, 8)))
    text = shown(sqlite_store)
    cycles = [line.split()[0] for line in text.splitlines() if line.startswith("cycle-")]
    assert cycles == ["cycle-0007", "cycle-0006", "cycle-0005", "cycle-0004", "cycle-0003"]
    assert "reject    because [7]." in text


def test_records_are_counted(sqlite_store: Store) -> None:
    fill(sqlite_store)
    assert "3 ModelVersion, 2 Deployment" in shown(sqlite_store)
