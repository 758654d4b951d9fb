from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sharpen.errors import Refused
from sharpen.training.seal import SEAL, sign, verify


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    (folder / "global_step4").mkdir(parents=True)
    (folder / "global_step4" / "states.pt").write_bytes(b"states")
    (folder / "latest").write_text("global_step4")
    sign(folder, tmp_path / "home")
    return folder


def test_what_was_sealed_is_accepted_and_the_key_is_its_owners_alone(checkpoint: Path, tmp_path: Path) -> None:
    verify(checkpoint, tmp_path / "home")
    [key] = (tmp_path / "home").iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 64
    assert key.read_text() not in (checkpoint / SEAL).read_text()
    sign(checkpoint, tmp_path / "home")  # the same key again
    verify(checkpoint, tmp_path / "home")


def _longer(folder: Path) -> None:
    with (folder / "latest").open("a") as stream:
        stream.write("x")


def _moved(folder: Path) -> None:
    (folder / "global_step4" / "states.pt").rename(folder / "states.pt")


def _cut_elsewhere(folder: Path) -> None:
    (folder / "global_step4" / "states.pt").write_bytes(b"state")
    (folder / "latest").write_text("sglobal_step4")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a changed file": lambda folder: (folder / "global_step4" / "states.pt").write_bytes(b"statez"),
    "a longer file": _longer,
    "a new file": lambda folder: (folder / "more.pt").write_bytes(b""),
    "a file that is gone": lambda folder: (folder / "latest").unlink(),
    "a file elsewhere": _moved,
    "a byte that went to another file": _cut_elsewhere,
    "no seal": lambda folder: (folder / SEAL).unlink(),
    "another seal": lambda folder: (folder / SEAL).write_text("0" * 64),
    "a seal that is no text": lambda folder: (folder / SEAL).write_bytes(b"\xff\xfe"),
    "a link": lambda folder: (folder / "link").symlink_to("/etc/passwd"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_checkpoint_that_is_not_as_it_was_sealed_is_refused(
    change: Callable[[Path], object], checkpoint: Path, tmp_path: Path
) -> None:
    change(checkpoint)
    with pytest.raises(Refused, match=r"not read|holds a link"):
        verify(checkpoint, tmp_path / "home")


def test_another_homes_seal_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another key"):
        verify(checkpoint, tmp_path / "other")


def test_a_key_that_others_may_read_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "checkpoints.key").chmod(0o644)
    with pytest.raises(Refused, match="Others may read"):
        verify(checkpoint, tmp_path / "home")
