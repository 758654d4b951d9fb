from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import Refused
from sharpen.fairness.integration import EGALITARIAN, Issue, integrate

PEOPLE = dict.fromkeys(("p", "q", "r", "s", "t"), 1.0)
issue = st.builds(
    Issue,
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from(["add", "remove", ""]),
)
issues = st.lists(issue, min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(issues, st.integers(1, 6), st.randoms())
def test_neither_the_order_nor_a_clone_of_a_finding_changes_anything(
    found: list[Issue], times: int, order: random.Random
) -> None:
    expected = integrate(found, PEOPLE)
    mixed = [*found, *[found[0]] * times]
    order.shuffle(mixed)
    assert integrate(mixed, PEOPLE) == expected


@settings(max_examples=60, deadline=None)
@given(issues)
def test_every_perspective_that_found_anything_is_heard_where_there_is_room(found: list[Issue]) -> None:
    result = integrate(found, PEOPLE, most=len(PEOPLE))
    heard = {name for one in result if one.fate == "chosen" for name in one.perspectives}
    assert heard == {one.perspective for one in found}
    assert all(one.fate == "chosen" for one in result if one.is_veto)


@settings(max_examples=60, deadline=None)
@given(issues, st.integers(0, 19), st.floats(0, 1))
def test_one_critic_moves_a_score_by_a_bounded_amount_and_upwards_by_more_severity(
    found: list[Issue], at: int, severity: float
) -> None:
    one = found[at % len(found)]
    changed = Issue(one.perspective, one.matter, severity, one.has_evidence, one.wants)
    others = [other for other in found if (other.perspective, other.matter) != (one.perspective, one.matter)]
    before, after = (
        {scored.matter: scored.score for scored in integrate([*others, own], PEOPLE)}[one.matter]
        for own in (one, changed)
    )
    assert abs(after - before) <= (1 - EGALITARIAN) / len(PEOPLE) + EGALITARIAN + 1e-9
    assert (after - before) * (severity - one.severity) >= 0


def test_a_harm_that_one_of_five_sees_survives_and_a_claim_without_evidence_does_not_rule() -> None:
    crowd = [Issue(name, f"style {at}", 0.6, True) for name in "qrst" for at in range(5)]
    harm = Issue("p", "slur", 0.9, True)
    kept = {one.matter: one for one in integrate([*crowd, harm], PEOPLE, most=2)}
    assert kept["slur"].fate == "chosen" and kept["slur"].reason == "severe, with evidence"
    claim = Issue("q", "made up", 1.0, False)
    found = {one.matter: one for one in integrate([*crowd, harm, claim], PEOPLE, most=2)}
    assert found["made up"].fate == "left out" and not found["made up"].is_veto


def test_opposite_wishes_are_contested_not_averaged() -> None:
    found = integrate([Issue("p", "history", 0.5, True, "add"), Issue("q", "history", 0.5, True, "remove")], PEOPLE)
    assert found[0].is_contested


@pytest.mark.parametrize(
    ("found", "people", "message"),
    [
        ([Issue("x", "a", 0.5, True)], PEOPLE, "'x' has no weight"),
        ([Issue("p", "a", 1.5, True)], PEOPLE, "not between 0 and 1"),
        ([], {}, "no perspectives"),
    ],
)
def test_what_cannot_be_weighed_is_refused(found: list[Issue], people: dict[str, float], message: str) -> None:
    with pytest.raises(Refused, match=message):
        integrate(found, people)
