"""The constitution is data: versioned, checked, and shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.critique.constitution import load_constitution
from sharpen.errors import ConfigError

PRINCIPLE = '[[principle]]\nname = "a"\nquestion = "Q?"\nrevision = "R."\nseverity = "low"\n'


def test_the_shipped_constitution_has_a_version_and_at_least_sixteen_principles() -> None:
    shipped = load_constitution()
    assert shipped.version and len(shipped.principle) >= 16
    assert len({one.question for one in shipped.principle}) == len(shipped.principle)
    assert all(one.question.endswith("?") and one.revision.endswith(".") for one in shipped.principle)


def test_an_own_constitution_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'format = 1\nversion = "1"\n{PRINCIPLE}')
    assert [one.name for one in load_constitution(str(path)).principle] == ["a"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("format = 2\nversion = '1'\n" + PRINCIPLE, "'format'"), ("format = 1\nversion = '1'\n", "'principle'"),
        ("format = 1\nversion = '1'\n" + PRINCIPLE * 2, "two principles are called 'a'"),
        ("format = ", "not valid TOML"),
        ("format = 1\nversion = '1'\n" + PRINCIPLE.replace("low", "huge"), "severity"),
    ],
)  # fmt: skip
def test_a_constitution_with_a_fault_is_refused_by_place(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load_constitution(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_constitution(str(tmp_path / "none.toml"))
