from __future__ import annotations

import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import ConfigError
from sharpen.verify.scorers import Unscored, find_scorer, grade, registry, scorer

ANY_TEXT = st.text(st.characters(), max_size=200)  # any code point, lone surrogates included


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_scorers", dict(registry._scorers))


@pytest.mark.parametrize(
    ("name", "reply", "reference", "value"),
    [
        ("exact", "  Paris\n", "Paris", 1.0),
        ("exact", "Paris.", "Paris", 0.0),
        ("exact", "paris", "Paris", 0.0),
        ("numeric", "17 * 23 = 391.", "391", 1.0),
        ("numeric", "It is 1,391", "1391", 1.0),
        ("numeric", "-4", "4", 0.0),
        ("numeric", "10-4", "4", 1.0),
        ("numeric", "x = \u22124", "-4", 1.0),
        ("numeric", "0.75", "3/4", 1.0),
        ("numeric", ".5", "1/2", 1.0),
        ("numeric", "1e3", "1000", 1.0),
        ("numeric", "12,34", "34", 1.0),
        ("numeric", "1/0", "1", 0.0),
        ("numeric", "I do not know", "1", 0.0),
        ("numeric", "9" * 100_000, "9", 0.0),
        ("numeric", "0.1 + 0.2 = 0.3", "0.3", 1.0),
    ],
)
def test_the_built_in_scorers_agree_with_a_reader(name: str, reply: str, reference: str, value: float) -> None:
    assert grade(find_scorer(name), reply, reference) == (value, None)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("billing", 1.0),
        ("It goes to BILLING.", 1.0),
        ("billings", 0.0),
        ("billing or sales?", 0.0),
        ("", 0.0),
        ("billing help", 0.0),
    ],
)
def test_contains_one_wants_the_reference_alone_as_a_whole_word(reply: str, value: float) -> None:
    assert grade(find_scorer("contains_one"), reply, "billing", ["billing", "sales", "billing help"])[0] == value


@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, max_size=4))
def test_no_text_makes_a_built_in_scorer_crash_or_fail(reply: str, reference: str, choices: list[str]) -> None:
    for name in ("exact", "contains_one", "numeric"):
        value, reason = grade(find_scorer(name), reply, reference, choices)
        assert value in (0.0, 1.0) or (value is None and reason and "failed" not in reason)


def test_a_million_characters_are_graded_at_once() -> None:
    reply = "-1,234.5e6/7 " * 80_000
    for name in ("exact", "contains_one", "numeric"):
        assert grade(find_scorer(name), reply, "7", ["7", "8"])[1] is None


def test_what_a_scorer_does_wrong_becomes_a_reason_and_never_a_zero() -> None:
    def raising(reply: str, reference: str) -> float:
        raise RuntimeError("the judge is asleep")

    def unsure(reply: str, reference: str) -> float:
        raise Unscored("two judges disagree")

    assert grade(raising, "a", "b") == (None, "the scorer failed: RuntimeError: the judge is asleep")
    assert grade(unsure, "a", "b") == (None, "two judges disagree")
    assert grade(lambda reply, reference: None, "a", "b") == (None, "the scorer gave no value")
    assert grade(lambda reply, reference: 7, "a", "b") == (None, "the scorer gave 7; scores go from 0 to 1")
    assert grade(lambda reply, reference: float("nan"), "a", "b")[0] is None
    assert grade(lambda reply, reference: "good", "a", "b") == (None, "the scorer gave 'good', not a number")
    assert grade(find_scorer("exact"), None, "b") == (None, "there is no reply")
    assert grade(find_scorer("numeric"), "1", "one") == (None, "the reference is not a number")


def test_a_decorated_function_is_found_by_its_name_and_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    @scorer
    def longer(reply: str, reference: str) -> float:
        return float(len(reply) > len(reference))

    module = types.ModuleType("their_scorers")
    module.longer = longer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_scorers", module)
    assert find_scorer("longer") is longer
    assert find_scorer("their_scorers:longer") is longer


def test_a_suite_file_cannot_name_a_function_that_is_no_scorer() -> None:
    with pytest.raises(ConfigError, match="not a scorer"):
        find_scorer("os:system")


@pytest.mark.parametrize("name", ["no_such_module:attr", "json:no_such_thing", ":", "a.b.c:"])
def test_a_scorer_that_cannot_be_imported_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        find_scorer(name)


def test_a_misspelt_scorer_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        find_scorer("exakt")
    assert "did you mean 'exact'?" in str(caught.value)


def test_two_functions_cannot_share_a_scorers_name() -> None:
    def exact(reply: str, reference: str) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="already is a scorer 'exact'"):
        scorer(exact)
