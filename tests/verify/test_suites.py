from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import BoundaryError, ConfigError
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


@pytest.mark.parametrize("named", [{"scorer": "choice"}, {"kind": "choice"}])
def test_a_case_of_choices_is_answered_by_choice_and_can_still_grade_a_reply(
    tmp_path: Path, named: dict[str, str]
) -> None:
    row = {"prompt": "Legs of a spider?", "reference": "eight", "choices": ["six", "eight"]}
    suite = load_suite(write(tmp_path, row | named))
    assert (suite.cases[0].kind, suite.scorer_of(suite.cases[0])) == ("choice", "choice")
    assert suite.score(suite.cases[0], "It has eight.") == (1.0, None)
    fair = load_suite(write(tmp_path, row) + "?kind=choice_norm")
    assert fair.scorer_of(fair.cases[0]) == "choice_norm"


def test_a_suite_of_replies_can_be_answered_by_choice(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, {"prompt": "Six or eight?", "reference": "eight", "choices": ["six", "eight"]}))
    assert [case.kind for case in suite.by_choice().cases] == ["choice"]
    assert suite.by_choice().cases[0].id == suite.cases[0].id
    assert suite.cases[0].kind == "reply"


def test_passages_stand_in_the_prompt_and_on_the_case(tmp_path: Path) -> None:
    row = {"prompt": "Who did it?", "reference": "Ann", "contexts": ["Ann did it.", "Bob slept."]}
    case = load_suite(write(tmp_path, row)).cases[0]
    assert case.contexts == ("Ann did it.", "Bob slept.")
    assert case.messages[-1].content.endswith("[1] Ann did it.\n[2] Bob slept.\n\nWho did it?")
    bare = load_suite(write(tmp_path, {"prompt": "Who did it?", "reference": "Ann"})).cases[0]
    assert (bare.cluster, bare.tier) == (case.cluster, case.tier)
    assert bare.id != case.id


def test_groups_and_tags_are_kept_per_case(tmp_path: Path) -> None:
    row = {"prompt": "q", "reference": "r", "groups": {"region": "north", "age": "old"}, "tags": ["easy", "2024"]}
    case = load_suite(write(tmp_path, row)).cases[0]
    assert (case.groups, case.tags) == (("age=old", "region=north"), ("easy", "2024"))
    (tmp_path / "t.csv").write_text("prompt,reference,groups,tags\nq,r,age=old|region=north,easy|2024\n")
    assert load_suite(str(tmp_path / "t.csv")).cases == (case,)


def test_turns_make_a_dialogue(tmp_path: Path) -> None:
    case = load_suite(write(tmp_path, {"turns": ["Hello", "Say it again"], "reference": "Hi", "system": "s"})).cases[0]
    assert case.kind == "dialogue"
    assert [turn.role for turn in case.messages] == ["system", "user", "user"]


def test_a_table_with_its_own_column_names_is_read_by_naming_them(tmp_path: Path) -> None:
    spec = write(tmp_path, {"question": "2 + 2?", "answer": "4", "difficulty": 3})
    suite = load_suite(spec + "?prompt=question&reference=answer&scorer=numeric")
    assert (suite.cases[0].messages[0].content, suite.scorer_of(suite.cases[0])) == ("2 + 2?", "numeric")


def test_a_parquet_file_and_a_packed_file_say_the_same_as_a_jsonl_file(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"prompt": "p", "reference": "r", "choices": ["r", "s"]}, {"prompt": "q", "reference": "r"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    plain = write(tmp_path, *rows)
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(Path(plain).read_bytes()))
    packed = load_suite(str(tmp_path / "t.jsonl.gz"))
    assert load_suite(plain).cases == load_suite(str(tmp_path / "t.parquet")).cases == packed.cases
    assert packed.name == "t"


def test_a_data_set_folder_is_read_offline_split_by_split(tmp_path: Path) -> None:
    import datasets

    saved = {name: datasets.Dataset.from_dict({"q": [name], "a": ["r"]}) for name in ("train", "test")}
    datasets.DatasetDict(saved).save_to_disk(str(tmp_path / "faq"))
    suite = load_suite(f"hf:{tmp_path / 'faq'}?split=train&prompt=q&reference=a")
    assert (suite.name, [case.messages[0].content for case in suite.cases]) == ("faq", ["train"])
    with pytest.raises(ConfigError, match="no split 'dev'"):
        load_suite(f"hf:{tmp_path / 'faq'}?split=dev&prompt=q&reference=a")
    with pytest.raises(ConfigError, match="faq:1: no key 'q'"):
        load_suite(f"hf:{tmp_path / 'faq'}")


def test_a_data_set_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    with pytest.raises(BoundaryError, match="nobody/nothing' cannot be loaded"):
        load_suite("hf:nobody/nothing")


def test_declared_shares_cut_the_suite_into_its_tiers(tmp_path: Path) -> None:
    spec = write(tmp_path, *({"prompt": f"q{n}", "reference": "r"} for n in range(400)))
    suite = load_suite(spec + "?dev=0.2&gate=0.5&vault=0.3")
    counts = {tier: len(suite.tier(tier)) / 400 for tier in ("train", "dev", "gate", "vault")}
    assert counts == pytest.approx({"train": 0, "dev": 0.2, "gate": 0.5, "vault": 0.3}, abs=0.07)
    again = load_suite(spec + "?vault=0.3&gate=0.5&dev=0.2")
    assert again.cases == suite.cases


def test_the_digest_shows_every_change_that_matters(tmp_path: Path) -> None:
    row = {"prompt": "q", "reference": "r", "choices": ["r", "s"], "tier": "gate"}
    digests = [
        load_suite(write(tmp_path, changed)).digest
        for changed in (
            row, row | {"reference": "s"}, row | {"prompt": "q?"}, row | {"scorer": "contains_one"},
            row | {"tags": ["x"]}, row | {"tier": "vault"}, row | {"kind": "choice"}, row | {"groups": {"age": "old"}},
        )
    ]  # fmt: skip
    assert len(set(digests)) == len(digests)
    assert load_suite(write(tmp_path, row)).digest == digests[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("gate=0.5", "add up to 0.5, not 1"),
        ("gate=much&dev=0.5", "is no number"),
        ("gate=2&dev=-1", "from 0 to 1"),
        ("kind=chois", "did you mean choice"),
        ("promt=x", "no setting 'promt'"),
        ("gate", "key=value"),
        ("kind=reply&kind=choice", "twice"),
        ("scorer=exakt", "no scorer 'exakt'"),
    ],
)
def test_a_wrong_setting_of_a_spec_says_what_to_type(tmp_path: Path, settings: str, said: str) -> None:
    spec = write(tmp_path, GOOD)
    with pytest.raises(ConfigError) as caught:
        load_suite(f"{spec}?{settings}")
    assert said in str(caught.value)


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
        ([GOOD | {"kind": "answer"}], "no kind 'answer'"),
        ([GOOD | {"kind": "dialogue"}], "need each other"),
        ([{"turns": [], "reference": "r"}], "'turns' is empty"),
        ([GOOD | {"contexts": "one"}], "'contexts' is not a list of texts"),
        ([GOOD | {"tags": [1]}], "'tags' is not a list of texts"),
        ([GOOD | {"groups": ["old"]}], "does not name one group per axis"),
        ([GOOD | {"groups": {"age": ""}}], "does not name one group per axis"),
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
    assert "did you mean prompt?" in str(caught.value)


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


@pytest.mark.parametrize("spec", ["nothing.jsonl", "", "suite.parquet", ".", "suite.xlsx", "nothing.csv.gz"])
def test_a_spec_that_is_no_file_says_what_specs_look_like(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(spec)
    assert "reasoning-gym:NAME" in str(caught.value)


def test_a_tier_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no tier 'test'"):
        Suite("s", ()).tier("test")


@pytest.mark.parametrize("name", ["torn.jsonl.gz", "torn.parquet"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"x" * 100)[:15])
    with pytest.raises(ConfigError, match=name):
        load_suite(str(tmp_path / name))
