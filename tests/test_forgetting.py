"""Somebody's words leave: out of every file of a deployment that has been through a whole cycle."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sharpen.capture.feedback import record_feedback
from sharpen.capture.traces import record_trace
from sharpen.cli import app
from sharpen.config import load, render
from sharpen.errors import NotFound, Refused
from sharpen.forgetting import forget
from sharpen.loop import Loop
from sharpen.models.engine import Generation
from sharpen.overview import overview
from sharpen.records import Message, ModelVersion, Trace
from tests.faults import cycles

WORDS = b"zanzibar violet"  # in the prompt, and nowhere else


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A deployment whose one exchange of the session `theirs` was corrected by Ann, and learned from."""
    path = cycles.build(tmp_path)
    config = load(path)
    curation = config.curation.model_copy(update={"snapshots": str(tmp_path / "sets")})
    path.write_text(render(config.model_copy(update={"curation": curation})))
    loop = Loop.open(path)
    trace = record_trace(
        loop.store,
        messages=(Message(role="user", content=f"is it {WORDS.decode()}"),),
        generation=Generation("no", 1, 1, "stop"),
        version_id=loop.store.champion().version_id,
        session="theirs",
    )
    record_feedback(loop.store, trace_id=trace.id, rating=-1, correction="yes", source="ann")
    loop.cycle(until="evaluate")
    return path


def holding(folder: Path) -> set[str]:
    """Return the files that hold the words, as plain bytes or, in Parquet, after decompression."""
    import pyarrow.parquet as pq

    found = set()
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content += str(pq.read_table(file).to_pylist()).encode()
        if WORDS in content:
            found.add(file.name.partition("-")[0])
    return found


@pytest.mark.timeout(300)
def test_the_words_leave_every_file_and_the_version_that_learned_them_is_named(path: Path) -> None:
    before = holding(path.parent)
    assert {"store.db", "rows.jsonl"} <= before, before
    trained = [one.id for one in Loop.open(path).store.find(ModelVersion) if one.run_id]
    asked = CliRunner().invoke(app, ["forget", "--session", "theirs", "--config", str(path)])
    assert asked.exit_code == 0 and "--yes" in asked.output and holding(path.parent) == before
    done = CliRunner().invoke(app, ["forget", "--session", "theirs", "--yes", "--config", str(path)])
    assert done.exit_code == 0, done.output
    assert holding(path.parent) == set()
    assert trained[0] in done.output.replace("\n", "")
    loop = Loop.open(path)
    screen = Console(width=200, file=io.StringIO())
    screen.print(overview(loop.store))
    assert "learned erased words" in screen.file.getvalue()  # type: ignore[attr-defined]
    again = forget(loop, session="theirs")
    assert (again.records, again.answers, again.files) == (0, 0, 0) and trained[0] in again.found.made.versions
    with loop.alone(), pytest.raises(Refused, match="running a cycle"):
        forget(Loop.open(path), session="theirs")


def test_what_a_source_said_goes_and_the_exchange_of_somebody_else_stays(tmp_path: Path) -> None:
    loop = Loop.open(cycles.build(tmp_path))
    trace = loop.store.find(Trace)[0]
    record_feedback(loop.store, trace_id=trace.id, correction="my own words", source="bob")
    gone = forget(loop, source="bob")
    assert (gone.records, gone.found.exchanges, len(gone.found.feedback)) == (1, (), 1)
    assert loop.store.get(Trace, trace.id) == trace
    for whose in ({"source": "nobody"}, {"session": "none"}, {"exchanges": ["trc_none"]}):
        with pytest.raises(NotFound):
            forget(loop, **whose)  # type: ignore[arg-type]
