from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import ConfigError
from sharpen.records import Message
from sharpen.verify.suites import Suite, load_suite


def write(folder: Path, *rows: Any, name: str = "inbox.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_rows_become_cases_in_order(tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        {"prompt": "Where is my parcel?", "system": "Name the team.", "reference": "delivery", "tier": "gate"},
        "",
        {"messages": [{"role": "user", "content": "Refund?"}], "reference": "billing", "cluster": "y"},
    )
    suite = load_suite(spec)
    assert (suite.name, [case.reference for case in suite.cases]) == ("inbox", ["delivery", "billing"])
    assert [message.role for message in suite.cases[0].messages] == ["system", "user"]
    assert [case.tier for case in suite.cases] == ["gate", "gate"]
    assert suite.tier("gate") == suite.cases
    assert suite.tier("vault") == ()


def test_a_case_is_found_by_exactly_its_prompt(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, {"prompt": "Refund?", "reference": "billing"}))
    found = suite.find([Message(role="user", content="Refund?")])
    assert found is suite.cases[0]
    assert suite.find((Message(role="user", content="Refund? "),)) is None


def test_every_row_may_name_its_own_scorer(tmp_path: Path) -> None:
    suite = load_suite(
        write(
            tmp_path,
            {"prompt": "17 * 23?", "reference": "391", "scorer": "numeric"},
            {"prompt": "Team?", "reference": "sales", "choices": ["sales", "billing"], "scorer": "contains_one"},
            {"prompt": "Capital?", "reference": "Paris"},
        )
    )
    number, team, capital = suite.cases
    assert suite.score(number, "It is 391.0!") == (1.0, None)
    assert suite.score(team, "I think Sales") == (1.0, None)
    assert suite.score(capital, "I think Paris") == (0.0, None)
    assert suite.score(capital, None) == (None, "there is no reply")
    assert suite.scorer_of(capital) == "exact"


def test_a_suite_of_choices_is_answered_by_choice_and_can_still_grade_a_reply(tmp_path: Path) -> None:
    row = {"prompt": "Legs of a spider?", "reference": "eight", "choices": ["six", "eight"], "scorer": "choice"}
    suite = load_suite(write(tmp_path, row))
    assert suite.by_choice
    assert suite.score(suite.cases[0], "It has eight.") == (1.0, None)
    assert not Suite("empty", ()).by_choice


def test_a_csv_file_says_the_same_as_a_jsonl_file(tmp_path: Path) -> None:
    rows = [
        {"prompt": 'A "quoted", cut\nquestion', "reference": "yes", "choices": ["yes", "no"], "tier": "dev"},
        {"prompt": "Plain", "reference": "no"},
    ]
    text = 'prompt,reference,choices,tier\r\n"A ""quoted"", cut\nquestion",yes,yes|no,dev\r\nPlain,no,,\r\n'
    (tmp_path / "table.csv").write_bytes(text.encode("utf-8-sig"))
    assert load_suite(str(tmp_path / "table.csv")).cases == load_suite(write(tmp_path, *rows)).cases


def test_a_line_separator_inside_a_text_does_not_cut_the_row(tmp_path: Path) -> None:
    spec = write(tmp_path, '{"prompt": "one\u2028two\u0085three", "reference": "x"}')
    assert load_suite(spec).cases[0].messages[0].content == "one\u2028two\u0085three"


def test_the_same_row_twice_counts_once(tmp_path: Path) -> None:
    row = {"prompt": "Refund?", "reference": "billing"}
    assert len(load_suite(write(tmp_path, row, row)).cases) == 1


GOOD = {"prompt": "p", "reference": "r"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, {"prompt": "q"}], ":2: 'reference' is missing"),
        ([{"prompt": "q", "reference": 391}], ":1: 'reference' is 391, not text"),
        ([{"prompt": "q", "reference": " "}], ":1: 'reference' is empty"),
        ([{"reference": "r"}], "either 'prompt' or 'messages'"),
        ([GOOD | {"messages": [{"role": "user", "content": "q"}]}], "either 'prompt' or 'messages'"),
        ([{"messages": [{"role": "robot", "content": "q"}], "reference": "r"}], "'messages': role"),
        ([{"messages": [{"role": "assistant", "content": "q"}], "reference": "r"}], "ends with the user's turn"),
        ([{"messages": "q", "reference": "r"}], "ends with the user's turn"),
        ([{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "reference": "r",
           "system": "t"}], "and a system message"),
        (["{'prompt': 1}"], ":1: not valid JSON"),
        (['["p", "r"]'], ":1: a list, not an object"),
        (["", " "], "is empty"),
        ([GOOD, GOOD | {"reference": "s"}], ":2: the prompt of line 1 again, with another reference"),
        ([GOOD, GOOD | {"scorer": "contains_one"}], ":2: the prompt of line 1 again, with another choices"),
        ([GOOD | {"choices": ["a", "b"]}], "'r' is not among the choices"),
        ([GOOD | {"choices": ["r", "r"]}], "names one answer twice"),
        ([GOOD | {"choices": "r|s"}], "not a list of texts"),
        ([GOOD | {"tier": "test"}], "no tier 'test'"),
        ([GOOD | {"scorer": "exakt"}], ":1: There is no scorer 'exakt'"),
        ([GOOD | {"scorer": "os:system"}], "not a scorer"),
        ([GOOD | {"scorer": "numeric"}], "does not accept the reference 'r' itself"),
        ([GOOD | {"scorer": "choice"}], "needs two choices"),
        ([GOOD, {"prompt": "q", "reference": "a", "choices": ["a", "b"], "scorer": "choice"}], "1 of 2 cases"),
        ([GOOD | {"cluster": "k", "tier": "gate"}, {"prompt": "q", "reference": "r", "cluster": "k", "tier": "train"}],
         "cluster 'k' is in tier 'gate' on line 1, and in 'train' here"),
        (['{"prompt": "\\ud800", "reference": "r"}'], "surrogate"),
        (["[" * 100_000], ":1: not valid JSON"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_file_line_and_fault(tmp_path: Path, rows: list[Any], said: str) -> None:
    spec = write(tmp_path, *rows)
    with pytest.raises(ConfigError) as caught:
        load_suite(spec)
    assert said in caught.value.what
    assert spec in caught.value.what
    assert caught.value.next_step


def test_an_unknown_key_gets_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(write(tmp_path, GOOD | {"promt": "x"}))
    assert ":1: no key 'promt'" in str(caught.value)
    assert "did you mean 'prompt'?" in str(caught.value)


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "a", "reference": "b"}\n{"prompt": "caf\xe9", "reference": "b"}\n')
    with pytest.raises(ConfigError, match=r"latin\.jsonl:2: not UTF-8"):
        load_suite(str(path))


@pytest.mark.parametrize("text", ["prompt,reference\na\n", 'prompt,reference\n"a,b\n', "prompt,reference\na,b,c\n"])
def test_a_torn_csv_row_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "torn.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"torn\.csv:2: not"):
        load_suite(str(path))


@pytest.mark.parametrize("spec", ["nothing.jsonl", "", "suite.parquet", "."])
def test_a_spec_that_is_no_file_says_what_specs_look_like(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(spec)
    assert "reasoning-gym:NAME" in str(caught.value)


def test_a_tier_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no tier 'test'"):
        Suite("s", ()).tier("test")
