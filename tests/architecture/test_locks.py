"""What gets installed is pinned, by hash, and new enough to be safe."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
LOCKS = ("requirements.demo.lock", "requirements.test.lock", "requirements.models.lock")

# The first release without a known hole; older ones are not to be had through our locks.
FLOORS = {
    "langgraph": "1.0.10",
    "langgraph-checkpoint": "4.0.0",
    "langchain-core": "1.2.5",
    "mlflow": "3.11.0",
    "transformers": "5.3.0",
    "starlette": "1.3.1",
}


def pins(name: str) -> dict[str, Version]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {package.lower(): Version(version) for package, version in found}


@pytest.mark.parametrize(("package", "floor"), FLOORS.items())
def test_no_version_with_a_known_hole_is_locked(package: str, floor: str) -> None:
    for name in ("requirements.demo.lock", "requirements.test.lock"):
        assert pins(name)[package] >= Version(floor), name


def test_torch_is_pinned_safe_and_left_out_of_the_locks() -> None:
    torch = re.search(r"^torch==(\S+)", (ROOT / "requirements.demo.in").read_text(), re.MULTILINE)
    assert torch and Version(torch[1]) >= Version("2.10.0")
    for name in LOCKS:
        assert not [pin for pin in pins(name) if pin == "torch" or pin.startswith("nvidia-")]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_pinned_by_hash_and_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.findall(r"^[A-Za-z0-9].*(?:\n    .*)*", text, re.MULTILINE)
    # A package may stand twice: once for each range of Python versions.
    assert len({entry.split(" ")[0].split("==")[0] for entry in entries}) == len(pins(name)) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"https?://|file:|--index|--find-links|^-c ", text, re.MULTILINE)


def test_the_tests_run_on_what_the_demo_runs_on() -> None:
    assert pins("requirements.demo.lock").items() <= pins("requirements.test.lock").items()


def test_the_lock_satisfies_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    locked = pins("requirements.test.lock")
    for requirement in map(Requirement, asked):
        if requirement.name not in ("sharpen", "torch"):
            assert locked[requirement.name] in requirement.specifier, requirement
