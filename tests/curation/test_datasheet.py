"""A snapshot's page says what it is made of, names nobody, and can stop a snapshot that treats some worse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sharpen.capture.feedback import record_feedback
from sharpen.config import CurationSection, parse
from sharpen.curation.bias.consented import consented
from sharpen.curation.bundle import read_bundle
from sharpen.curation.exports import export
from sharpen.curation.snapshot import build_snapshot
from sharpen.errors import BiasFound, ConfigError
from sharpen.loop import Loop
from sharpen.records import Snapshot, Source

TOPICS = ("invoice", "parcel", "refund", "card", "login", "order", "store", "bag")


def declared(sources: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Return what people declared: those with an even number are of the north, src 1 of a tiny isle."""
    told = {one: "north" if int(one.split("_")[1]) % 2 == 0 else "south" for one in sources}
    return {one: {"region": "isle" if one == "src_1" else region} for one, region in told.items()}


def tone(texts: Sequence[str]) -> list[float]:
    return [0.5 for _ in texts]


def too_much(texts: Sequence[str]) -> list[float]:
    return [7.0 for _ in texts]


def fill(talk: Any, *, biased: bool) -> None:
    """Let 60 people correct an answer each; where biased, nobody judges what is asked in German."""
    for i in range(60):
        talk.correct(talk.trace(f"where is my {TOPICS[i % 8]} number {i}"), f"team {i}", f"src_{i}")
    for i in range(60):
        one = talk.trace(f"wo ist die rechnung nummer {i} und das paket")
        if not biased:
            talk.correct(one, f"gruppe {i}", f"src_{i}")


def built(talk: Any, tmp_path: Path, **settings: Any) -> Snapshot | None:
    section = CurationSection(near_duplicate=1.0, snapshots=str(tmp_path), **settings)
    return build_snapshot(talk.store, section, "cyc_1", (), 0)


def test_the_page_says_what_it_is_made_of_and_names_nobody(talk: Any, tmp_path: Path) -> None:
    fill(talk, biased=False)
    own = f"{__name__}:declared"
    snapshot = built(talk, tmp_path, groups=own, tone=f"{__name__}:tone", licence="CC-BY-4.0", consent="terms, 3")
    assert snapshot is not None
    page = snapshot.datasheet
    assert (page["examples"], page["people"], page["licence"], page["consent"]) == (120, 60, "CC-BY-4.0", "terms, 3")
    assert page["origins"] == {"correction": 120}
    assert page["make_up"] == {
        "region": {"isle": "under 20, or suppressed", "north": 30, "south": "under 20, or suppressed"}
    }
    assert page["bias"]["findings"] == []
    assert page["bias"]["looked_at"] == {"exchanges": 120, "examples": 120, "answers": 120}
    assert "src_" not in json.dumps(page)
    assert read_bundle(str(tmp_path), snapshot.id)[0]["datasheet"] == page
    assert talk.store.get(Snapshot, snapshot.id).datasheet == page


def test_groups_that_came_with_feedback_are_on_the_page_until_they_are_erased(talk: Any, tmp_path: Path) -> None:
    given = []
    for i in range(40):
        trace_id = talk.trace(f"where is my {TOPICS[i % 8]} number {i}")
        region = "north" if i % 2 else "south"
        given += [
            record_feedback(talk.store, trace_id=trace_id, correction=f"team {i}", source=f"p{i}", groups=groups)
            for groups in (("region=west",), (f"region={region}", "age=old"))  # what was said last holds
        ]
    assert talk.store.get(Source, given[0].source_id).name == "p0"
    page = built(talk, tmp_path).datasheet  # type: ignore[union-attr]
    assert page["make_up"] == {"age": {"old": 40}, "region": {"north": 20, "south": 20}}
    assert not any(gap.startswith("groups") for gap in page["bias"]["not_looked_at"])
    for one in given:
        talk.store.erase(one.id)
    assert consented(talk.store) == {}


def test_bias_is_on_the_page_and_holds_where_the_settings_say_so(talk: Any, tmp_path: Path) -> None:
    fill(talk, biased=True)
    snapshot = built(talk, tmp_path)
    assert snapshot is not None
    bias = snapshot.datasheet["bias"]
    assert [(one["check"], one["segment"]) for one in bias["findings"]] == [("under-annotated", "de")]
    assert any("groups of people" in gap for gap in bias["not_looked_at"])
    with pytest.raises(BiasFound, match="under-annotated in language 'de'"):
        built(talk, tmp_path, bias="hold")
    off = built(talk, tmp_path / "off", bias="off")
    assert off is not None and off.id == snapshot.id, "what is looked at changes nothing in what is learned"


def test_a_plug_in_that_is_not_there_or_tells_nonsense_is_a_sentence(talk: Any, tmp_path: Path) -> None:
    fill(talk, biased=False)
    with pytest.raises(ConfigError, match=r"\[curation\] tone.*no score of -1 to 1"):
        built(talk, tmp_path, groups=f"{__name__}:declared", tone=f"{__name__}:too_much")
    with pytest.raises(ConfigError, match=r"\[curation\] groups.*cannot be loaded"):
        built(talk, tmp_path, groups="nowhere:function")


def test_the_page_goes_out_as_text_and_in_croissants_own_terms(talk: Any, tmp_path: Path) -> None:
    import mlcroissant

    fill(talk, biased=True)
    snapshot = built(talk, tmp_path, licence="CC-BY-4.0")
    assert snapshot is not None
    text = export(str(tmp_path), snapshot.id, "datasheet", tmp_path / "out").read_text(encoding="utf-8")
    assert "Licence: CC-BY-4.0" in text
    assert "under-annotated in language 'de'" in text
    path = export(str(tmp_path), snapshot.id, "croissant", tmp_path / snapshot.id)
    data = mlcroissant.Dataset(jsonld=str(path))
    assert not data.metadata.ctx.issues.errors
    assert any("under-annotated" in said for said in data.metadata.data_biases)
    assert data.metadata.license == ["CC-BY-4.0"]
    without = built(talk, tmp_path / "off", bias="off")
    assert without is not None
    with pytest.raises(ConfigError, match="no datasheet"):
        export(str(tmp_path / "off"), without.id, "datasheet", tmp_path / "out")


def test_a_cycle_holds_and_says_why(talk: Any, tiny_base: Path, tmp_path: Path) -> None:
    fill(talk, biased=True)
    cases = [
        {"messages": [{"role": "user", "content": f"what is {i}"}], "reference": f"{i}", "tier": "gate"}
        for i in range(3)
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(one) + "\n" for one in cases), encoding="utf-8")
    config = parse({
        "base": str(tiny_base), "home": str(tmp_path / "home"), "store": talk.store.url,
        "evaluation": {"suite": str(tmp_path / "cases.jsonl")},
        "curation": {"near_duplicate": 1.0, "bias": "hold"}, "tracking": {"mlflow": False},
    })  # fmt: skip
    found = Loop(config).stages["curate"]({"cycle_id": "cyc_1"})
    assert found["snapshot_id"] is None
    assert "under-annotated in language 'de'" in found["hold"]
    assert talk.store.count(Snapshot) == 0
