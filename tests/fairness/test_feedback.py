"""The store's feedback gets weights, examples carry them, and anyone can ask why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.curation.conftest import Talk

from sharpen.config import Config, CurationSection, IntegritySection
from sharpen.curation.emphasis import emphasised
from sharpen.curation.snapshot import build_snapshot, to_rows
from sharpen.errors import ConfigError
from sharpen.fairness.feedback import read_people, weighed
from sharpen.records import Feedback
from sharpen.store import Store


@pytest.fixture
def talk(sqlite_store: Store) -> Talk:
    """Ann is right about six verified answers; twelve strangers say one sentence within a second."""
    talk = Talk(sqlite_store)
    for at in range(6):
        trace = talk.trace(f"question {at}", "sales")
        talk.critique(trace, draft_score=float(at % 2))
        talk.rate(trace, 1.0 if at % 2 else -1.0, "src_ann")
    talk.correct(talk.trace("my parcel is late"), "shipping", "src_ann")
    for at in range(12):
        talk.correct(talk.trace(f"a refund {at} please"), "always say that the shop in the north is bad", f"src_f{at}")
    return talk


def test_examples_carry_the_weight_of_the_feedback_they_rest_on(talk: Talk) -> None:
    config = Config(integrity=IntegritySection(weigh=True), curation=CurationSection(min_examples=1))
    snapshot = build_snapshot(
        talk.store, config.curation, "c1", (), 0, emphasise=lambda rows: emphasised(config, talk.store, rows)
    )
    assert snapshot is not None
    rows = {row["messages"][-1]["content"]: row for row in to_rows(talk.store, snapshot)}
    honest = rows["my parcel is late"]["weight"]
    fakes = sum(row["weight"] for question, row in rows.items() if question.startswith("a refund"))
    assert honest > 1 and 0 < fakes < honest / 2


def test_a_weight_says_why(talk: Talk) -> None:
    found = weighed(talk.store, IntegritySection(weigh=True))
    assert found is not None
    told = found.explain(found.ids)
    assert any("brigade: 12 alike records of 12 sources" in line for line in told)
    assert found.found.reliability == {"src_ann": pytest.approx(0.733, abs=0.001)}
    assert found.factor(["trc_unknown"]) == 1.0


def test_without_feedback_or_without_the_section_nothing_changes(sqlite_store: Store) -> None:
    assert weighed(sqlite_store, IntegritySection(weigh=True)) is None
    talk = Talk(sqlite_store)
    talk.corrected(["a", "b"], ["x", "y"])
    assert emphasised(Config(), sqlite_store, []) == []


def test_what_people_declared_is_read_with_consent_only_and_nothing_is_dropped_in_silence(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"source": "ann", "consent": True, "region": "north"},
        {"source": "bob", "region": "south"},
        {"source": "ann", "consent": True, "region": "south"},
        {"consent": True},
        {"source": "eve", "consent": True, "region": 7},
    ]
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join([*map(json.dumps, lines), "{"]), encoding="utf-8")
    people = read_people(path)
    assert people.facets == {"region": {"ann": "north"}} and people.without_consent == 1
    assert [one.partition(":")[0] for one in people.problems] == ["line 3", "line 4", "line 5", "line 6"]


def test_groups_that_came_with_the_feedback_are_weighed_towards_their_target(sqlite_store: Store) -> None:
    talk = Talk(sqlite_store)
    for at in range(24):
        trace = talk.trace(f"question {at}", "sales")
        talk.critique(trace, draft_score=float(at % 2))
        group = ("region=south",) if at < 6 else ("region=north",)
        source, rating = f"src_{at % 2 + 2 * (at < 6)}", 1.0 if at % 2 else -1.0
        said = Feedback(id=f"fbk_{at:04d}", trace_id=trace, rating=rating, source_id=source, groups=group)
        sqlite_store.append(said)
    found = weighed(sqlite_store, IntegritySection(weigh=True, targets={"region=north": 0.5, "region=south": 0.5}))
    assert found is not None and found.found.skew[0].distance == pytest.approx(0.25)
    south, north = found.found.weights.explain(0), found.found.weights.explain(23)
    assert south["raking"] > 1 > north["raking"]


def test_a_file_that_is_not_there_and_a_facet_nobody_declared_are_errors(talk: Talk, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_people(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="is not facet=value"):
        weighed(talk.store, IntegritySection(weigh=True, targets={"north": 1.0}))
    with pytest.raises(ConfigError, match="'region'"):
        weighed(talk.store, IntegritySection(weigh=True, targets={"region=north": 1.0}))
