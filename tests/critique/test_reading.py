"""What a model wrote is read leniently, and text of no sense is nothing, never an error."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.critique import quoting, reading, tools
from sharpen.critique.reading import approval, final_answer, issues, rejection, revised, same_answer, wrong_sums


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\nAnswer: 7", "7"), ("ANSWER = 7.", "7"), ("The final answer is: **7**", "7"),
        ("Answer: 5\nWait. Answer: 7\n\nI hope this helps.", "7"), ("so $\\boxed{7}$", "7"),
        ('Answer: "sales"', "sales"),
        ("Answer:", None), ("I do not know", None), ("", None), ("Answer: one\ntwo", "one\ntwo"),
    ],
)  # fmt: skip
def test_the_answer_of_a_chain_is_found(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "choice"),
    [("Answer: It is SALES.", "sales"), ("sales, surely", "sales"), ("sales or billing", None), ("presales", None)],
)
def test_a_declared_choice_is_the_answer_where_one_alone_is_named(text: str, choice: str | None) -> None:
    assert final_answer(text, ("sales", "billing")) == choice


def test_answers_that_mean_the_same_are_one_vote() -> None:
    assert same_answer("7") == same_answer("7.0 apples") != same_answer("8")
    assert same_answer("Blue.") == same_answer(" blue") != same_answer("red")


@pytest.mark.parametrize(
    "text", ["No issues.", "None", "no significant problems found", "Looks good.", "The answer is correct"]
)
def test_a_review_that_finds_nothing_has_no_issue(text: str) -> None:
    assert issues(text, "x") == []


def test_a_review_s_points_become_issues_with_severity_and_evidence() -> None:
    found = issues('1. High: "4 apples" is wrong\n2) low severity: a typo\n* it "lies"', "There are 4 apples.") or []
    assert [(one.severity, one.evidence) for one in found] == [("high", "4 apples"), ("low", ""), ("medium", "")]
    assert len(issues("- a\n" * 50 + "\n".join(f"- fault {n}" for n in range(50)), "") or []) == reading.MOST_ISSUES
    assert issues("%%%", "") is None


def test_sums_that_do_not_add_up_are_found_and_right_ones_are_not() -> None:
    wrong = ("3 + 4 = 8", "2*3=5", "1,000 - 1 = 998", "7 / 3 = 3", "10 ÷ 3 = 3.4", "2 x 2 = 5")
    right = ("3 + 4 = 7", "1 + 2 + 3 = 6", "10 / 3 = 3.33", "1,000 - 1 = 999", "x = 4", "5 / 0 = 1", "7 - 3 = 4%")
    assert all(len(wrong_sums(text)) == 1 for text in wrong)
    assert not any(wrong_sums(text) for text in right)


def test_a_revision_that_cannot_stand_in_is_refused_with_the_reason() -> None:
    assert rejection("a", "b", cut=False) is None
    refused = [rejection("a", "...", cut=False), rejection("a", " a ", cut=False), rejection("a", "b", cut=True),
               rejection("2 + 2 = 4", "2 + 2 = 5", cut=False), rejection("a", quoting.RULE, cut=False)]  # fmt: skip
    assert all(refused) and len(set(refused)) == 5
    assert revised("**Improved answer:** 12") == "12" and revised("> 12\n> 13") == "12\n13"


@given(st.text(max_size=400))
def test_no_text_is_too_strange(text: str) -> None:
    for read in (final_answer, same_answer, approval, revised, wrong_sums, quoting.quoted):
        read(text)  # type: ignore[operator]
    issues(text, text)
    assert all(line.startswith("> ") for line in quoting.quoted(text).splitlines())


def test_a_lone_surrogate_can_be_quoted() -> None:
    assert quoting.quoted("a\ud800b") == "> a?b"


@pytest.mark.parametrize("module", [reading, quoting, tools])
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
