"""A snapshot's files are written once, verified when read, and say what everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.curation.candidates import candidate

from sharpen.config import CurationSection
from sharpen.curation.bundle import read_bundle, read_dropped, rows_of, write_bundle
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection
from sharpen.curation.sift import Dropped
from sharpen.errors import ConfigError, Refused

PLAN = Plan.of(CurationSection(), (), 0)


def selection(*texts: str) -> Selection:
    rows = [
        candidate(text, f"answer {text}", system="Be short.", margin=1.0, evidence=("trc_1", "fbk_1")) for text in texts
    ]
    return Selection(rows, list(range(len(rows))), [Dropped("trc_9", "personal", "email")])


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_what_is_written_is_read_back_on_any_file_system(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path) if kind == "folder" else f"memory://{tmp_path.name}"
    made = write_bundle(address, "snp_1", selection("a", "b"), PLAN)
    manifest, table = read_bundle(address, "snp_1")
    assert manifest == made
    assert [row["chosen"] for row in rows_of(table)] == ["answer a", "answer b"]
    assert next(rows_of(table)).keys() == {"messages", "chosen", "rejected", "weight", "reference"}
    assert table["messages"][0].as_py() == [
        {"role": "system", "content": "Be short."}, {"role": "user", "content": "a"},
    ]  # fmt: skip
    assert table["evidence"][0].as_py() == ["trc_1", "fbk_1"]
    assert (manifest["rows"], manifest["counts"], manifest["dropped"]) == (2, {"correction": 2}, {"personal": 1})
    assert manifest["config"]["near_duplicate"] == 0.85
    assert read_dropped(address, "snp_1") == [("trc_9", "personal", "email")]


def test_writing_again_changes_nothing_and_other_content_is_refused(tmp_path: Path) -> None:
    write_bundle(str(tmp_path), "snp_1", selection("a"), PLAN)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_bundle(str(tmp_path), "snp_1", selection("a"), PLAN)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(Refused, match="another snapshot of that name"):
        write_bundle(str(tmp_path), "snp_1", selection("b"), PLAN)


def test_a_changed_or_missing_file_is_refused(tmp_path: Path) -> None:
    [file] = write_bundle(str(tmp_path), "snp_1", selection("a"), PLAN)["files"]
    path = tmp_path / "snp_1" / file["name"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Refused, match="was changed"):
        read_bundle(str(tmp_path), "snp_1")
    path.unlink()
    with pytest.raises(Refused, match="is missing"):
        read_bundle(str(tmp_path), "snp_1")
    (tmp_path / "snp_1" / "manifest.json").write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        read_bundle(str(tmp_path), "snp_1")


def test_a_snapshot_without_a_manifest_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no snapshot"):
        read_bundle(str(tmp_path), "snp_1")


def test_a_file_of_a_run_that_was_killed_is_written_over(tmp_path: Path) -> None:
    [file] = write_bundle(str(tmp_path / "first"), "snp_1", selection("a"), PLAN)["files"]
    (tmp_path / "snp_1").mkdir()
    (tmp_path / "snp_1" / file["name"]).write_bytes(b"half")
    write_bundle(str(tmp_path), "snp_1", selection("a"), PLAN)
    assert read_bundle(str(tmp_path), "snp_1")[1].num_rows == 1


def test_a_cycle_writes_its_snapshot_where_the_configuration_says(talk: Any, tmp_path: Path) -> None:
    from sharpen.curation.snapshot import build_snapshot, to_rows

    talk.corrected(["my parcel", "a refund"], ["shipping", "returns"])
    snapshot = build_snapshot(talk.store, CurationSection(min_examples=1, snapshots=str(tmp_path)), "c1", (), 0)
    assert snapshot is not None
    assert list(rows_of(read_bundle(str(tmp_path), snapshot.id)[1])) == to_rows(talk.store, snapshot)


def test_the_files_have_the_weights_and_the_order_that_the_store_has(talk: Any, tmp_path: Path) -> None:
    from sharpen.curation.snapshot import build_snapshot, to_rows

    def turned(examples: list[Any]) -> list[Any]:
        return [one.model_copy(update={"weight": 2.5}) for one in examples[::-1]]

    talk.corrected(["my parcel", "a refund"], ["shipping", "returns"])
    settings = CurationSection(min_examples=1, snapshots=str(tmp_path))
    snapshot = build_snapshot(talk.store, settings, "c1", (), 0, emphasise=turned)
    assert snapshot is not None
    rows = list(rows_of(read_bundle(str(tmp_path), snapshot.id)[1]))
    assert rows == to_rows(talk.store, snapshot)
    assert {row["weight"] for row in rows} == {2.5}
