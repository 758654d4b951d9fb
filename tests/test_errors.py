"""Every error says what is wrong and what to type next."""

from __future__ import annotations

import re

import pytest

from sharpen import errors
from sharpen.errors import BoundaryError, EngineError, MissingExtra, NotFound, Refused, SharpenError
from sharpen.plugins import EXTRAS, part


def tree(kind: type, depth: int = 0) -> list[tuple[int, str]]:
    ours = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]  # parts add their own
    return [(depth, kind.__name__)] + [row for child in ours for row in tree(child, depth + 1)]


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)", line)
        if found:
            drawn.append((len(found[1]) // 4, found[2]))
    assert drawn == tree(SharpenError)


def test_an_error_shows_what_is_wrong_and_then_what_to_type() -> None:
    assert str(SharpenError("It broke.", "mend it")) == "It broke.\n  → mend it"
    assert str(SharpenError("It broke.")) == "It broke."


def test_boundaries_may_be_tried_again_and_refusals_may_not() -> None:
    assert issubclass(EngineError, BoundaryError)
    assert issubclass(NotFound, Refused)
    assert not issubclass(Refused, BoundaryError)


def test_a_missing_part_names_the_line_to_type() -> None:
    with pytest.raises(MissingExtra) as caught:
        part("a_package_that_is_not_there")
    assert caught.value.next_step == "sharpen install all"
    assert "a_package_that_is_not_there" in caught.value.what
    assert MissingExtra("trl", EXTRAS["trl"]).next_step == "sharpen install train"


def test_a_part_that_is_there_but_broken_is_not_called_missing(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "half_broken.py").write_text("import another_thing_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="another_thing"):
        part("half_broken")


def test_every_named_extra_exists_in_the_package_s_metadata() -> None:
    from importlib.metadata import metadata

    assert set(EXTRAS.values()) | {"all"} <= set(metadata("sharpen").get_all("Provides-Extra") or [])
