from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sharpen.durable import write_text
from sharpen.errors import StoreError


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_text(path, "Grüße\n")
    write_text(path, "b\nc\n")
    assert path.read_text(encoding="utf-8") == "b\nc\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_folder_that_is_away_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"rows\.jsonl cannot be written"):
        write_text(tmp_path / "away" / "rows.jsonl", "")


@pytest.mark.faults
def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    code = f"""
import resource
from pathlib import Path
from sharpen.durable import write_text
from sharpen.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
try:
    write_text(Path({str(path)!r}), "new " * 1000)
except StoreError as error:
    print(error.next_step)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "disk's space" in done.stdout
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]
