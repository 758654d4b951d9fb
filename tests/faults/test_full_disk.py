from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import cycles

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def _grown(config: Path) -> list[int]:
    """Return how large the files of a finished cycle are that a full disk could have cut short."""
    state = config.with_name("state")
    return sorted({path.stat().st_size for path in state.rglob("*") if path.is_file() and path.stat().st_size > 4096})


def test_a_cycle_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    deployment: Path, unkilled: tuple[cycles.End, list[str]], tmp_path: Path
) -> None:
    whole = cycles.copy(deployment, tmp_path / "whole")
    assert cycles.finish(whole) == "promote"
    refused = []
    for number, size in enumerate(_grown(whole)):
        config = cycles.copy(deployment, tmp_path / str(number))
        code = cycles.wait(
            cycles.start(config, file_bytes=size - 1)
        )  # one file of the cycle does not get its last byte
        said = config.with_name("said.txt").read_text()
        assert code != 0, f"{size}: nothing was refused"
        assert "Traceback" not in said, said[-3000:]
        assert "disk" in said, f"{size}: {said[-3000:]}"
        refused.append(size)
        assert cycles.finish(config) == "promote", size
        assert cycles.end_of(config) == unkilled[0], f"{size}: another end"
    assert len(refused) >= 3
