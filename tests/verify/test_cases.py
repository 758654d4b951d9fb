from __future__ import annotations

from collections import Counter

import pytest

from sharpen.records import Case, Message
from sharpen.verify.cases import MEASURE, make_case, tier_of


def user(text: str) -> Message:
    return Message(role="user", content=text)


def test_a_clusters_tier_never_changes_between_releases() -> None:
    known = {"7 + 8": "vault", "8 + 7": "gate", "a": "vault", "b": "train", "hello": "train", "y": "gate"}
    assert {name: tier_of(name) for name in known} == known


def test_the_tiers_have_the_shares_they_promise() -> None:
    counts = Counter(tier_of(f"cluster {number}") for number in range(20_000))
    shares = {tier: count / 20_000 for tier, count in counts.items()}
    assert shares == pytest.approx({"train": 0.40, "dev": 0.10, "gate": 0.25, "vault": 0.25}, abs=0.01)


def test_a_question_falls_into_one_tier_whatever_the_system_message() -> None:
    system = Message(role="system", content="Be brief.")
    bare, dressed = make_case([user("2 + 2?")], "4"), make_case([system, user("2 + 2?")], "4")
    assert bare.id != dressed.id
    assert (bare.cluster, bare.tier) == (dressed.cluster, dressed.tier)


def test_a_given_cluster_decides_the_tier_and_a_given_tier_wins() -> None:
    assert make_case([user("q")], "r", cluster="y").tier == "gate"
    assert make_case([user("q")], "r", cluster="y", tier="vault").tier == "vault"


def test_a_measured_suite_gives_nothing_to_training() -> None:
    counts = Counter(tier_of(f"cluster {number}", MEASURE) for number in range(20_000))
    shares = {tier: count / 20_000 for tier, count in counts.items()}
    assert shares == pytest.approx({"dev": 0.20, "gate": 0.50, "vault": 0.30}, abs=0.01)


def test_cases_that_share_a_prompt_are_told_apart_by_their_choices() -> None:
    first, second = (
        make_case([user("Which?")], "a", kind="choice", choices=("a", other), named_by_choices=True) for other in "bc"
    )
    assert first.id != second.id


def test_a_case_written_before_there_were_kinds_can_still_be_read() -> None:
    old = {"id": "1", "messages": [{"role": "user", "content": "q"}], "reference": "r", "cluster": "c", "tier": "gate"}
    case = Case.model_validate(old)
    assert (case.kind, case.contexts, case.groups, case.tags) == ("reply", (), (), ())
