from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import cycles


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration of a deployment that has something to learn. Copy it; never run it."""
    return cycles.build(tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="session")
def unkilled(deployment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[cycles.End, list[str]]]:
    """Return how an undisturbed cycle ends, and every failpoint it passed, in order."""
    config = cycles.copy(deployment, tmp_path_factory.mktemp("unkilled") / "d")
    listing = config.with_name("passed.txt")
    assert cycles.wait(cycles.start(config, f"?:{listing}")) == 0, config.with_name("said.txt").read_text()[-4000:]
    assert config.with_name("decision.txt").read_text() == "promote"
    yield cycles.end_of(config), listing.read_text().split()
