"""A named place kills the process when the environment asks for it, and only then."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen

LOOP = """
from sharpen.failpoints import failpoint
for number in range(1, 5):
    failpoint("here")
    print(number, flush=True)
    failpoint("there")
"""


def run(wanted: str | None) -> tuple[int, list[str]]:
    env = {name: value for name, value in os.environ.items() if name != "SHARPEN_FAILPOINT"}
    env |= {"SHARPEN_FAILPOINT": wanted} if wanted else {}
    done = subprocess.run(
        [sys.executable, "-c", LOOP], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("wanted", "code", "printed"),
    [
        (None, 0, ["1", "2", "3", "4"]),
        ("nowhere", 0, ["1", "2", "3", "4"]),
        ("here", -signal.SIGKILL, []),
        ("here:3", -signal.SIGKILL, ["1", "2"]),
        ("there:1", -signal.SIGKILL, ["1"]),
        ("here:5", 0, ["1", "2", "3", "4"]),
    ],
)
def test_a_process_dies_at_the_nth_passing_of_the_named_place(
    wanted: str | None, code: int, printed: list[str]
) -> None:
    assert run(wanted) == (code, printed)


def test_a_listing_run_writes_down_every_place_it_passes(tmp_path: Path) -> None:
    code, printed = run(f"?:{tmp_path / 'places'}")
    assert (code, len(printed)) == (0, 4)
    assert (tmp_path / "places").read_text().split() == ["here", "there"] * 4


def test_every_place_in_the_code_says_where_and_when() -> None:
    root = Path(sharpen.__file__).parent
    for path in root.rglob("*.py"):
        for name in re.findall(r'\bfailpoint\(f?"([^"]+)"\)', path.read_text()):
            assert name == "nothing asked for" or re.fullmatch(r"[a-z_{}]+\.[a-z_]+", name), f"{path}: {name}"
