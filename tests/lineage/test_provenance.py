"""Every version leads back to the words it was trained on, and nothing is lost on the way."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from sharpen.errors import NotFound
from sharpen.lineage.provenance import as_dict, example_lineage, render, resolve, why
from sharpen.records import (
    Critique,
    Deployment,
    Example,
    Feedback,
    Message,
    ModelVersion,
    Snapshot,
    Trace,
    TrainingRun,
    Verdict,
)
from sharpen.store import Store

ASKED = (Message(role="user", content="Where is my [bold]parcel[/bold]?\x1b[31m" + " please" * 40),)


def version(name: str, **fields: Any) -> ModelVersion:
    return ModelVersion(id=name, base="tiny", base_digest="b", template_digest="t", **fields)


def deployment(name: str, version_id: str, **fields: Any) -> Deployment:
    return Deployment(id=name, version_id=version_id, shares={version_id: 1.0}, **({"reason": "because"} | fields))


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """One cycle's records: a correction and a critique, seven examples, a version that was promoted."""
    sqlite_store.append(
        version("ver_0"),
        deployment("dep_0", "ver_0", reason="The bare base."),
        Trace(id="trc_1", messages=ASKED, reply="sales", version_id="ver_0"),
        Feedback(id="fbk_1", trace_id="trc_1", correction="shipping", rating=-1.0),
        Critique(
            id="crt_1",
            trace_id="trc_1",
            cycle_id="c1",
            method="refine",
            draft="sales",
            draft_score=0.0,
            stop_reason="x",
        ),
        *(
            Example(
                id=f"exa_{i}",
                cycle_id="c1",
                messages=ASKED,
                chosen="shipping",
                origin="correction",
                evidence=("trc_1", "fbk_1", "crt_1"),
            )
            for i in range(7)
        ),
        Snapshot(
            id="snp_1",
            cycle_id="c1",
            example_ids=tuple(f"exa_{i}" for i in (6, 0, 1, 2, 3, 4, 5)),
            counts={"correction": 7},
            dropped={},
        ),
        TrainingRun(
            id="run_1",
            snapshot_id="snp_1",
            method="sft",
            recipe={"rank": 4},
            seed=0,
            adapter_digest="a",
            seconds=61.0,
            model_seconds=50.0,
        ),
        version("ver_1", adapter_digest="a", parent="ver_0", run_id="run_1"),
        Verdict(
            id="vdt_1",
            cycle_id="c1",
            champion_id="ver_0",
            challenger_id="ver_1",
            decision="promote",
            reason="Better by 0.4.",
            comparisons=(),
            alpha_spent=0.01,
            attempt=1,
        ),
        deployment("dep_1", "ver_1", previous_id="ver_0", verdict_id="vdt_1", reason="Better by 0.4."),
    )
    return sqlite_store


def printed(tree: Any) -> str:
    console = Console(width=200, record=True, force_terminal=True, color_system=None, file=io.StringIO())
    console.print(tree)
    return console.export_text()


def test_the_champion_leads_back_to_the_words_it_learned_from(store: Store) -> None:
    found = why(store)
    assert found.version.id == "ver_1"
    assert found.run is not None and found.run.id == "run_1"
    assert found.snapshot is not None and found.snapshot.id == "snp_1"
    assert found.verdict is not None and found.verdict.id == "vdt_1"
    assert found.deployment is not None and found.deployment.id == "dep_1"
    assert [one.example.id for one in found.examples] == ["exa_6", "exa_0", "exa_1", "exa_2", "exa_3"]
    assert [record.id for record in found.examples[0].evidence] == ["trc_1", "fbk_1", "crt_1"]


def test_as_many_examples_are_shown_as_asked_for(store: Store) -> None:
    assert len(why(store, "ver_1", shown=2).examples) == 2
    assert len(why(store, "ver_1", shown=100).examples) == 7


def test_previous_is_the_version_before_and_the_base_has_no_run(store: Store) -> None:
    found = why(store, "previous")
    assert found.version.id == "ver_0"
    assert (found.run, found.snapshot, found.examples, found.verdict) == (None, None, (), None)
    assert found.deployment is not None and found.deployment.reason == "The bare base."


def test_a_version_that_was_held_has_a_verdict_and_no_deployment(store: Store) -> None:
    held = Verdict(
        id="vdt_2",
        cycle_id="c2",
        champion_id="ver_1",
        challenger_id="ver_2",
        decision="hold",
        reason="Not enough evidence yet.",
        comparisons=(),
        alpha_spent=0.01,
        attempt=2,
    )
    store.append(version("ver_2", adapter_digest="z", parent="ver_1", run_id="run_1"), held)
    found = why(store, "ver_2")
    assert (found.verdict, found.deployment) == (held, None)
    assert "never deployed" in printed(render(found))


def test_the_tree_shows_every_step_and_shortens_texts(store: Store) -> None:
    text = printed(render(why(store)))
    for part in ("ver_1", "dep", "vdt_1", "run_1", "snp_1", "7 correction", "exa_6", "trc_1", "fbk_1", "and 2 more"):
        assert part in text
    assert "corrected: shipping" in text
    assert "draft scored 0.0" in text
    assert max(map(len, text.splitlines())) < 150


def test_peoples_words_are_shown_as_they_are_and_cannot_steer_the_terminal(store: Store) -> None:
    text = printed(render(why(store)))
    assert "[bold]parcel[/bold]" in text
    assert "\x1b" not in text


def test_the_plain_values_are_json_and_whole(store: Store) -> None:
    plain = json.loads(json.dumps(as_dict(why(store))))
    assert plain["version"]["id"] == "ver_1"
    assert plain["examples"][0]["example"]["messages"][0]["content"] == ASKED[0].content
    assert [record["id"] for record in plain["examples"][0]["evidence"]] == ["trc_1", "fbk_1", "crt_1"]
    assert as_dict(why(store, "previous"))["run"] is None


def test_one_example_leads_back_to_its_trace(store: Store) -> None:
    lineage = example_lineage(store, "exa_3")
    assert lineage.example.id == "exa_3"
    assert lineage.evidence[0] == store.get(Trace, "trc_1")


def test_erased_words_show_as_erased(store: Store) -> None:
    for record_id in ("trc_1", "fbk_1", "exa_6"):
        store.erase(record_id)
    assert "[erased] → [erased]" in printed(render(why(store)))


@pytest.mark.parametrize("name", ["ver_9", "nonsense", "exa_1"])
def test_an_unknown_version_is_not_found_and_says_what_to_type(store: Store, name: str) -> None:
    with pytest.raises(NotFound, match="sharpen why champion"):
        why(store, name)


def test_an_unknown_example_is_not_found_and_says_what_to_type(store: Store) -> None:
    with pytest.raises(NotFound, match="sharpen why champion"):
        example_lineage(store, "exa_99")


def test_the_aliases_need_something_deployed(sqlite_store: Store) -> None:
    with pytest.raises(NotFound, match="sharpen init"):
        resolve(sqlite_store, "champion")
    sqlite_store.append(version("ver_0"), deployment("dep_0", "ver_0"))
    with pytest.raises(NotFound, match="No version served before"):
        resolve(sqlite_store, "previous")
