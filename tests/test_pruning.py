"""What nothing refers to goes; what serves, served, or was trained from stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpen.cli import app
from sharpen.config import load, render
from sharpen.errors import Refused
from sharpen.loop import Loop
from sharpen.pruning import prunable, prune
from sharpen.records import Deployment, ModelVersion, Snapshot, TrainingRun
from sharpen.store import Store
from tests.faults import cycles


def version(name: str, parent: str) -> ModelVersion:
    return ModelVersion(
        id=f"ver_{name}", base="b", base_digest="d", adapter_digest=name, template_digest="t", parent=parent
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Versions 0 <- a <- b (deployed), 0 <- c <- d <- e, and folders that no record names."""
    path = cycles.build(tmp_path)
    config = load(path)
    curation = config.curation.model_copy(update={"snapshots": str(tmp_path / "sets")})
    path.write_text(render(config.model_copy(update={"curation": curation})))
    store = Store.open(config.store_url)
    zero = store.champion().version_id
    for name, parent in (("a", zero), ("b", "ver_a"), ("c", zero), ("d", "ver_c"), ("e", "ver_d")):
        store.append(version(name, parent))
        (config.adapters / name).mkdir(parents=True)
        (config.adapters / name / "adapter_model.safetensors").write_bytes(b"x" * 100)
    store.append(Deployment(id="dep_b", version_id="ver_b", shares={"ver_b": 1.0}, previous_id=zero, reason="test"))
    store.append(Snapshot(id="snp_1", cycle_id="c", example_ids=("exa_1",), counts={}, dropped={}))
    store.append(
        TrainingRun(
            id="run_1",
            snapshot_id="snp_1",
            method="sft",
            recipe={},
            seed=0,
            seconds=1.0,
            model_seconds=1.0,
            adapter_digest="a",
        )
    )
    for folder in (config.adapters / "orphan", config.home / "runs" / "run_1", config.home / "runs" / "run_2"):
        folder.mkdir(parents=True)
    for name in ("snp_1", "snp_2"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        (tmp_path / "sets" / name / "manifest.json").write_text("{}")
    return path


def names(found: list[object]) -> list[str]:
    return [one.path.name for one in found]  # type: ignore[attr-defined]


def test_only_what_nothing_refers_to_goes(path: Path) -> None:
    loop = Loop.open(path)
    assert names(prunable(loop)) == ["orphan", "run_2", "snp_2"]
    # The newest of the others is e: what it was trained from stays with it.
    assert names(prunable(loop, newest=1)) == ["orphan", "run_2", "snp_2"]
    assert names(prunable(loop, newest=0)) == ["c", "d", "e", "orphan", "run_2", "snp_2"]
    shown = CliRunner().invoke(app, ["prune", "--newest", "0", "--config", str(path)])
    assert shown.exit_code == 0 and "never deployed" in shown.output and (loop.config.adapters / "e").is_dir()
    done = CliRunner().invoke(app, ["prune", "--newest", "0", "--yes", "--config", str(path)])
    assert done.exit_code == 0 and "Deleted 6 folders" in done.output
    assert sorted(one.name for one in loop.config.adapters.iterdir()) == ["a", "b"]
    assert [one.name for one in (path.parent / "sets").iterdir()] == ["snp_1"]
    assert prune(loop, newest=0) == []


@pytest.mark.timeout(300)
def test_nothing_goes_while_a_cycle_is_unfinished(path: Path, tmp_path: Path) -> None:
    loop = Loop.open(path)
    with loop.alone(), pytest.raises(Refused, match="running a cycle"):
        prune(loop)
    (tmp_path / "other").mkdir()
    again = Loop.open(cycles.build(tmp_path / "other"))
    again.cycle(until="critique")
    with pytest.raises(Refused, match="unfinished"):
        prune(again)
