"""An export of each tool becomes the exchanges and the feedback that are in it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharpen.capture.importers import import_file, letters
from sharpen.errors import ConfigError
from sharpen.records import Feedback, Source, Trace
from sharpen.store import Store

EXPORTS = Path(__file__).parent / "exports"
PARCEL = "Where is my parcel?"
EXPECTED: dict[str, tuple[str, list[tuple[str, str]], list[tuple[Any, ...]]]] = {
    "openai.jsonl": (
        "openai",
        [(PARCEL, "shipping"), (PARCEL, "shipping"), (PARCEL, "sales")],
        [(None, None, None, True)],
    ),
    "sharegpt.jsonl": ("sharegpt", [(PARCEL, "shipping"), ("And my refund?", "returns")], []),
    "alpaca.json": ("alpaca", [(f"Name the team.\n\n{PARCEL}", "shipping"), ("Say hello.", "hello")], []),
    "langfuse.jsonl": (
        "langfuse",
        [(PARCEL, "sales")],
        [(-0.5, None, "wrong team", False), (1.0, None, None, False), (None, None, "tone: polite", False)],
    ),
    "langsmith.jsonl": ("langsmith", [(PARCEL, "sales")], [(-1.0, "shipping", "wrong team", False)]),
    "mlflow.jsonl": (
        "mlflow",
        [(PARCEL, "sales"), ("And my refund?", "returns")],
        [(-1.0, None, None, False), (None, "shipping", None, False)],
    ),
    "argilla.jsonl": (
        "argilla",
        [(PARCEL, "sales"), ("And my refund?", "returns"), ("And my refund?", "sales")],
        [
            (-0.5, None, None, False),
            (1.0, None, None, False),
            (None, "shipping", None, False),
            (None, None, None, True),
        ],
    ),
    "table.csv": (
        "csv",
        [("Where is my parcel, please?", "sales"), ("two\nlines", 'he said "hi"')],
        [(-1.0, "shipping", None, False), (0.5, None, None, False)],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_export_is_recognised_and_read(sqlite_store: Store, tmp_path: Path, name: str) -> None:
    format_, exchanges, feedback = EXPECTED[name]
    done = import_file(sqlite_store, EXPORTS / name, tmp_path)
    assert (done.format, done.bad, done.dead) == (format_, 0, None)
    found = [(trace.messages[-1].content, trace.reply) for trace in sqlite_store.find(Trace)]
    assert found == exchanges
    said = [
        (one.rating, one.correction, one.comment, one.better_than is not None) for one in sqlite_store.find(Feedback)
    ]
    assert said == feedback
    assert (done.traces, done.feedback) == (len(exchanges), len(feedback))
    again = import_file(sqlite_store, EXPORTS / name, tmp_path)
    assert (again.traces, again.feedback) == (0, 0)


def test_system_prompts_earlier_turns_sessions_and_sources_come_along(sqlite_store: Store, tmp_path: Path) -> None:
    import_file(sqlite_store, EXPORTS / "sharegpt.jsonl", tmp_path)
    import_file(sqlite_store, EXPORTS / "argilla.jsonl", tmp_path)
    second = sqlite_store.find(Trace)[1]
    assert [turn.role for turn in second.messages] == ["system", "user", "assistant", "user"]
    assert second.session == "talk-1"
    assert {one.name for one in sqlite_store.find(Source)} == {"ann", "ben"}


def test_a_comparison_that_was_imported_becomes_a_pair(sqlite_store: Store, tmp_path: Path) -> None:
    from sharpen.config import CurationSection
    from sharpen.curation.mining.evidence import evidence
    from sharpen.curation.mining.mine import mine

    import_file(sqlite_store, EXPORTS / "openai.jsonl", tmp_path)
    found, _ = mine(evidence(sqlite_store), CurationSection())
    assert [(one.find.chosen, one.find.rejected, one.find.origin) for one in found] == [
        ("shipping", "sales", "comparison")
    ]


def test_a_gzipped_file_is_read_as_it_is(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress((EXPORTS / "openai.jsonl").read_bytes()))
    assert import_file(sqlite_store, path, tmp_path / "state").traces == 3
    path.write_bytes(gzip.compress((EXPORTS / "openai.jsonl").read_bytes())[:-20])
    with pytest.raises(ConfigError, match="cannot be read"):
        import_file(sqlite_store, path, tmp_path / "state")


def test_a_file_of_no_known_format_says_which_there_are(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"what": "ever"}\n')
    with pytest.raises(ConfigError, match="no format that is known") as caught:
        import_file(sqlite_store, path, tmp_path / "state")
    assert "langfuse" in caught.value.next_step
    with pytest.raises(ConfigError, match="no format 'excel'"):
        import_file(sqlite_store, path, tmp_path / "state", format_="excel")
    path.write_bytes("\ufeff{}".encode("utf-16"))
    with pytest.raises(ConfigError, match="is UTF-16"):
        import_file(sqlite_store, path, tmp_path / "state")


@pytest.mark.faults
def test_an_import_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    rows = [{"prompt": f"question {i}", "reply": "a"} if i % 7 else {"prompt": i} for i in range(1200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = f"""
from pathlib import Path
from sharpen.capture.importers import import_file
from sharpen.store import Store
import_file(Store.open({sqlite_url!r}), Path({str(path)!r}), Path({str(tmp_path / "state")!r}))
"""
    environment = os.environ | {"SHARPEN_FAILPOINT": "capture.after_rows:2"}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    there = sqlite_store.count(Trace)
    assert 400 < there < 1000
    done = import_file(sqlite_store, path, tmp_path / "state")
    assert (done.records, done.bad) == (1200, 172)
    assert sqlite_store.count(Trace) == 1028
    assert done.dead is not None
    assert [letter["line"] for letter in letters(done.dead)] == [i + 1 for i in range(0, 1200, 7)]
