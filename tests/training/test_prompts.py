from __future__ import annotations

from typing import Any

import pytest

from sharpen.errors import ConfigError, TrainerError
from sharpen.records import Message
from sharpen.training.prompts import Verifier, drawn_from, prompts
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite, load_suite

GYM = "reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1"


def case(text: str, tier: Any, **more: Any) -> Any:
    return make_case([Message(role="user", content=text)], "billing", tier=tier, **more)


def test_only_the_train_tier_reaches_the_trainer() -> None:
    tiers = ("train", "dev", "gate", "vault")
    suite = Suite("s", tuple(case(f"asked in {tier}", tier) for tier in tiers))
    [row] = prompts(suite)
    assert row["messages"] == [{"role": "user", "content": "asked in train"}]
    assert (row["reference"], row["scorer"], row["chosen"], row["rejected"]) == ("billing", "exact", None, None)


def test_what_people_gave_a_reference_for_is_asked_too_unless_a_tier_holds_it() -> None:
    suite = Suite("s", (case("known", "gate"),), scorer="numeric")
    rows = [
        {"messages": [{"role": "user", "content": text}], "reference": reference}
        for text, reference in (("new", "7"), ("known", "8"), ("no reference", None))
    ]
    assert [(row["messages"][0]["content"], row["reference"], row["scorer"]) for row in prompts(suite, rows)] == [
        ("new", "7", "numeric")
    ]


def test_a_choice_is_graded_by_the_name_it_mentions() -> None:
    suite = Suite("s", (case("which team?", "train", choices=["billing", "sales"], kind="choice"),))
    [row] = prompts(suite)
    verify = Verifier()
    assert (verify(row, "that is billing"), verify(row, "billing or sales")) == (1.0, 0.0)


def test_each_case_keeps_its_own_scorer() -> None:
    one = case("a sum", "train")
    [row] = prompts(Suite("s", (one,), scorer="exact", scorers={one.id: "numeric"}))
    assert row["scorer"] == "numeric"


def test_a_generators_prompts_are_graded_by_its_own_verifier_in_the_train_tier_alone() -> None:
    suite = load_suite(GYM, seed=3, size=40)
    rows = prompts(suite)
    assert len(rows) == len(suite.tier("train")) > 0
    verify = Verifier(drawn_from(GYM, seed=3, size=40))
    assert [verify(row, row["reference"]) for row in rows] == [1.0] * len(rows)
    assert verify(rows[0], "no idea") != 1.0
    held_out = suite.tier("gate")[0]
    stray = rows[0] | {"messages": [message.model_dump() for message in held_out.messages]}
    assert verify(stray, held_out.reference) is None and verify.unscored == 1


def test_a_scorer_that_cannot_grade_a_reference_stops_the_run_before_it_begins() -> None:
    [row] = prompts(Suite("s", (case("a sum", "train"),), scorer="numeric"))  # its reference is a word
    with pytest.raises(
        TrainerError, match="cannot grade the reference of the first prompt: the reference is not a number"
    ):
        Verifier().try_out([row])
    with pytest.raises(ConfigError, match="no scorer 'nmeric'"):
        Verifier().try_out([row | {"scorer": "nmeric"}])
    with pytest.raises(TrainerError, match="without the draw"):
        Verifier().try_out([row | {"scorer": "reasoning-gym:chain_sum"}])


def test_a_suite_from_a_file_needs_no_draw() -> None:
    assert drawn_from("cases.jsonl", seed=0, size=9) is None
