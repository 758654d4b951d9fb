"""The gap is measured against the suite's verifier, and says in a sentence whether self-critique may label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.critique.sums import Counting, opened, sum_case

from sharpen.critique import gap as gaps
from sharpen.critique.method import JUDGE
from sharpen.models.engine import Request
from sharpen.records import Message
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

COUNT = 60


def suite(count: int = COUNT, tier: str = "train") -> Suite:
    cases = [sum_case(f"Question {number:03d}: what is 2 + 2?") for number in range(count)]
    return Suite("sums", tuple(case.model_copy(update={"tier": tier}) for case in cases), scorer="numeric")


def model(*, right: int, fooled: int = 0, doubts: int = 0) -> Any:
    """Answer the first `right` questions right; accept `fooled` wrong answers, refuse `doubts` right ones."""

    def say(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        number = int(asked.rpartition("Question ")[2][:3])
        if JUDGE not in asked:
            return "4" if number < right else "5"
        accepts = number >= doubts if number < right else number < right + fooled
        return "Yes" if accepts else "No"

    return Counting(say)


def measured(engine: Any, cases: Suite | None = None) -> gaps.Gap:
    return gaps.measure_gap(opened("cot", engine), cases or suite())


def test_a_model_that_knows_when_it_is_right_may_label() -> None:
    gap = measured(model(right=30, fooled=2, doubts=3))
    assert (gap.accuracy.value, gap.accepted, gap.unscored) == (0.5, 29, 0)
    assert gap.judging.value == pytest.approx((27 / 30 + 28 / 30) / 2)
    assert 0.5 < gap.judging.low < gap.judging.value < gap.judging.high <= 1
    assert gap.precision.value == pytest.approx(27 / 29)
    assert gap.allows_labels and gap.verdict.endswith(": self-critique may label training data.")


def test_a_coin_may_not_label() -> None:
    gap = measured(model(right=30, fooled=15, doubts=15))
    assert gap.judging.value == 0.5 and not gap.allows_labels
    assert "not shown to beat a coin" in gap.verdict


def test_a_judge_that_beats_a_coin_but_accepts_mostly_wrong_answers_may_not_label() -> None:
    gap = measured(model(right=4, fooled=10))
    assert gap.judging.low > 0.5 and gap.precision.value == pytest.approx(4 / 14)
    assert not gap.allows_labels and "too little" in gap.verdict


@pytest.mark.parametrize("right", [0, COUNT])
def test_without_both_kinds_of_answers_nothing_is_known(right: int) -> None:
    gap = measured(model(right=right))
    assert (gap.judging.low, gap.judging.high, gap.allows_labels) == (0.0, 1.0, False)
    assert "both needed" in gap.verdict


def test_few_cases_are_not_enough_even_where_all_goes_well() -> None:
    gap = measured(model(right=1), suite(2))
    assert gap.judging.value == 1.0 and not gap.allows_labels


def test_only_training_cases_are_asked_and_no_more_than_wanted() -> None:
    held_out = Suite("sums", (*suite(8).cases, *suite(30, "gate").cases[8:]), scorer="numeric")
    engine = model(right=4)
    assert measured(engine, held_out).accuracy.n == 8
    assert len(engine.asked) == 8
    assert gaps.measure_gap(opened("cot", model(right=4)), suite(), cases=20).accuracy.n == 20


def test_nobody_is_shown_the_reference() -> None:
    seen: list[str] = []

    def say(request: Request, version: str) -> str:
        seen.append(request.messages[-1].content)
        return "No"

    case = make_case([Message(role="user", content="How many?")], "777", tier="train")
    assert measured(Counting(say), Suite("sums", (case,), scorer="numeric")).accuracy.n == 1
    assert any(JUDGE in text for text in seen) and not any("777" in text for text in seen)


def test_answers_that_fail_or_cannot_be_judged_are_counted_apart() -> None:
    def say(request: Request, version: str) -> str:
        asked = request.messages[-1].content
        if "Question 000" in asked or ("Question 001" in asked and JUDGE in asked):
            raise RuntimeError("gone")
        return "No" if JUDGE in asked else "5"

    gap = measured(Counting(say), suite(5))
    assert (gap.unscored, gap.unjudged, gap.accuracy.n) == (1, 1, 4)


def test_a_gap_is_kept_and_measured_again_for_another_version(tmp_path: Path) -> None:
    engine = model(right=30)
    first = gaps.kept_gap(opened("cot", engine), suite(), folder=tmp_path, name="ver_1")
    asked = len(engine.asked)
    assert gaps.kept_gap(opened("cot", engine), suite(), folder=tmp_path, name="ver_1") == first
    assert len(engine.asked) == asked
    gaps.kept_gap(opened("cot", engine), suite(), folder=tmp_path, name="ver_2")
    assert len(engine.asked) == 2 * asked
