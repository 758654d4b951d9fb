"""Other tools read our snapshots: the real ones are asked here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.curation.candidates import candidate

from sharpen.config import CurationSection
from sharpen.curation import bundle
from sharpen.curation.exports import export
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection
from sharpen.errors import ConfigError

ROWS = [
    candidate("a", "good", "bad", origin="comparison"),
    candidate("b", "fine", origin="verified", place=1),
    candidate("c", None, "awful", origin="rating", place=2),
]


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    bundle.write_bundle(str(tmp_path), "snp_1", Selection(ROWS, [0, 1, 2], []), Plan.of(CurationSection(), (), 0))
    return str(tmp_path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_trl_trainer_gets_the_rows_that_it_can_use(snapshot: str, tmp_path: Path) -> None:
    sft, dpo, kto = (
        lines(export(snapshot, "snp_1", f"trl-{kind}", tmp_path / "out")) for kind in ("sft", "dpo", "kto")
    )
    assert [row["completion"][0]["content"] for row in sft] == ["good", "fine"]
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in dpo] == [("good", "bad")]
    assert [(row["completion"][0]["content"], row["label"]) for row in kto] == [
        ("good", True), ("bad", False), ("fine", True), ("awful", False),
    ]  # fmt: skip
    assert sft[0]["prompt"] == [{"role": "user", "content": "a"}]


def test_hugging_face_datasets_loads_what_is_exported(snapshot: str, tmp_path: Path) -> None:
    import datasets

    data = datasets.load_from_disk(str(export(snapshot, "snp_1", "hf", tmp_path / "out")))
    assert data["chosen"][:] == ["good", "fine", None]
    assert data[0]["messages"] == [{"role": "user", "content": "a"}]
    assert data[0]["evidence"] == ["trc_1"]


@pytest.mark.parametrize("per_file", [1, 100])
def test_mlcroissant_accepts_the_metadata_and_reads_the_rows_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_file: int
) -> None:
    import mlcroissant

    monkeypatch.setattr(bundle, "ROWS_PER_FILE", per_file)
    bundle.write_bundle(str(tmp_path), "snp_1", Selection(ROWS, [0, 1, 2], []), Plan.of(CurationSection(), (), 0))
    path = export(str(tmp_path), "snp_1", "croissant", tmp_path / "snp_1")
    data = mlcroissant.Dataset(jsonld=str(path))
    assert not data.metadata.ctx.issues.errors
    assert not data.metadata.ctx.issues.warnings
    assert {field.name for field in data.metadata.record_sets[0].fields} >= {"chosen", "rejected", "weight"}
    if per_file == 100:
        rows = list(data.records("examples"))
        assert [row["examples/origin"] for row in rows] == [b"comparison", b"verified", b"rating"]


def test_an_export_that_there_is_not_is_a_sentence(snapshot: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no export 'xml'"):
        export(snapshot, "snp_1", "xml", tmp_path)
