"""The same evidence gives the same snapshot, in any number of parts, on any engine; finished parts stay done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import CurationSection
from sharpen.curation import selection
from sharpen.curation.bundle import write_bundle
from sharpen.curation.execution import run_all
from sharpen.curation.plan import Plan
from sharpen.curation.selection import SIFT, Selection, select, sharded
from sharpen.curation.shards import export, sift_task, tasks_of
from sharpen.errors import BoundaryError, ConfigError

WORDS = "parcel refund invoice password keyboard bag card order delivery store address late torn new old lost"


@pytest.fixture
def busy(talk: Any, case: Any) -> Any:
    """Fill the store with every kind of evidence, some of it worth nothing; return the held-out cases."""
    words = WORDS.split()
    for i in range(60):
        question = f"{words[i % 16]} {words[(i * 7) % 16]} {words[(i * 3 + 1) % 16]} number {i % 50}"
        one = talk.trace(question, "sales")
        if i % 3 == 0:
            talk.correct(one, "shipping", f"person {i % 4}")
        elif i % 3 == 1:
            talk.rate(one, -1.0)
            other = talk.trace(question, "returns")
            talk.rate(other, 1.0)
            talk.prefer(other, one, "ann")
        else:
            talk.critique(one, draft_score=float(i % 2), revision="billing", revision_score=1.0)
    talk.correct(talk.trace("write to me at ann@example.org"), "shipping")
    talk.correct(talk.trace("the vault asks about a very old lost parcel"), "shipping")
    talk.store.erase(talk.trace("gone"))
    return [case("the vault asks about a very old lost parcel")]


def said(selection: Selection) -> list[Any]:
    return [selection.rows[place] for place in selection.kept]


def test_any_number_of_parts_gives_what_one_process_gives(talk: Any, busy: Any, tmp_path: Path) -> None:
    whole = select(talk.store, Plan.of(CurationSection(ratings=True), busy, 0))
    assert len(whole.kept) > 30
    assert {"duplicate", "personal", "held_out"} <= whole.counts.keys()
    for shards in (1, 2, 4, 8):
        plan = Plan.of(CurationSection(ratings=True, shards=shards), busy, 0)
        parts = select(talk.store, plan, folder=tmp_path / str(shards))
        assert said(parts) == said(whole)
        assert sorted(parts.dropped) == sorted(whole.dropped)


def test_two_processes_give_the_same_files_as_one(talk: Any, busy: Any, tmp_path: Path) -> None:
    manifests = []
    for engine in ("local", "local:2"):
        plan = Plan.of(CurationSection(shards=3, engine=engine), busy, 0)
        found = sharded(talk.store, plan, tmp_path / engine.replace(":", "-"))
        manifests.append(write_bundle(str(tmp_path / "out" / engine.replace(":", "-")), "snp_1", found, plan))
    assert manifests[0]["digest"] == manifests[1]["digest"]
    assert manifests[0]["files"] == manifests[1]["files"]


@pytest.mark.faults
def test_a_killed_run_goes_on_with_the_parts_that_are_left(talk: Any, busy: Any, tmp_path: Path) -> None:
    plan = Plan.of(CurationSection(shards=4), busy, 0)
    folder = tmp_path / "parts"
    tasks = tasks_of(folder, export(talk.store, folder, plan), plan)
    script = f"from sharpen.curation.execution import run_all; run_all({SIFT!r}, {tasks!r}, 'local')"
    place = "curate.before_mark:3"
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"SHARPEN_FAILPOINT": place}, check=False)
    assert killed.returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in folder.glob("done-*")}
    assert len(done) == 2
    found = sharded(talk.store, plan, folder)
    assert said(found) == said(select(talk.store, Plan.of(CurationSection(), busy, 0)))
    assert {path: path.stat().st_mtime_ns for path in done} == done, "finished parts were done again"


def test_new_evidence_and_other_settings_are_not_mixed_with_old_parts(talk: Any, busy: Any, tmp_path: Path) -> None:
    first = sharded(talk.store, Plan.of(CurationSection(shards=2), busy, 0), tmp_path)
    stricter = sharded(talk.store, Plan.of(CurationSection(shards=2, corrections=False), busy, 0), tmp_path)
    assert "correction" not in stricter.origins
    talk.correct(talk.trace("something entirely different"), "account")
    more = sharded(talk.store, Plan.of(CurationSection(shards=2), busy, 0), tmp_path)
    assert len(more.kept) == len(first.kept) + 1


def test_an_engine_that_does_not_exist_and_one_without_a_folder_are_sentences(talk: Any) -> None:
    for engine in ("hadoop", "local:many"):
        with pytest.raises(ConfigError, match=r"\[curation\] engine"):
            run_all(SIFT, ["{}"], engine)
    with pytest.raises(ConfigError, match="need a folder"):
        select(talk.store, Plan.of(CurationSection(engine="local:2"), (), 0))


def die_once(task: str) -> str:
    """Kill the worker at the first try of the second task."""
    told = json.loads(task)
    mark = Path(told["mark"])
    if told["number"] == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return str(told["number"])


def sift_or_die(task: str) -> str:
    """Kill the worker at the first try of the last part; then do as any worker does."""
    told = json.loads(task)
    mark = Path(told["folder"]) / "died"
    if told["shard"] == json.loads(Path(told["plan"]).read_text())["settings"]["shards"] - 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return sift_task(task)


def die(task: str) -> str:
    """Kill the worker, whatever it was asked."""
    os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.faults
def test_a_worker_that_dies_loses_nothing_and_one_that_always_dies_is_given_up(tmp_path: Path) -> None:
    from tests.curation import test_shards

    tasks = [json.dumps({"number": number, "mark": str(tmp_path / "mark")}) for number in range(4)]
    assert run_all(f"{test_shards.__name__}:die_once", tasks, "local:2") == ["0", "1", "2", "3"]
    with pytest.raises(BoundaryError, match="A worker died 3 times"):
        run_all(f"{test_shards.__name__}:die", tasks[:1], "local:1")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "spark", "ray", "ray-data"])
def test_every_engine_gives_the_same_snapshot_with_a_worker_killed_on_the_way(
    talk: Any, busy: Any, tmp_path: Path, engine: str, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each starts a real cluster of its own, one after the other."""
    monkeypatch.setattr(selection, "SIFT", "tests.curation.test_shards:sift_or_die")
    whole = said(select(talk.store, Plan.of(CurationSection(), busy, 0)))
    for shards in (1, 2, 4, 8):
        plan = Plan.of(CurationSection(shards=shards, engine=engine), busy, 0)
        found = sharded(talk.store, plan, tmp_path / str(shards))
        assert (tmp_path / str(shards) / "died").exists()
        assert said(found) == whole
        manifest = write_bundle(str(tmp_path / "out"), "snp_1", found, plan)
        record_property("digest", json.dumps([engine, shards, manifest["digest"]]))
