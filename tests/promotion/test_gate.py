from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.config import PromotionSection
from sharpen.promotion.gate import compare, decide
from sharpen.records import Score, Verdict
from sharpen.stats import spend

RIGHT, WRONG = 1.0, 0.0


def scores(arm: str, values: Sequence[float | None], suite: str = "inbox") -> list[Score]:
    return [
        Score(
            id=f"scr_{suite}_{arm}_{n}", evaluation_id="e", arm=arm, version_id=arm, suite=suite, tier="gate",
            scorer="exact", case_id=f"case_{n:04d}", cluster=f"case_{n:04d}", value=value,
            reason="engine error" if value is None else None,
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


def arms(suite: str = "inbox", **values: Sequence[float | None]) -> dict[str, list[Score]]:
    return {arm: scores(arm, row, suite) for arm, row in values.items()}


def share(right: int, n: int = 150) -> list[float]:
    return [RIGHT] * right + [WRONG] * (n - right)


BETTER = arms(champion=share(60), challenger=share(100), in_context=share(80))
STEADY = arms("general", champion=share(120, 200), challenger=share(120, 200))


def verdict(target: dict[str, list[Score]], guard: dict[str, list[Score]] | None = None, **fields: Any) -> Verdict:
    given = {"attempt": 1, "settings": PromotionSection(), "challenger_id": "ver_1"} | fields
    return decide(
        cycle_id="c1", champion_id="ver_0", target=target, guards={"general": guard} if guard else {}, **given
    )


def test_better_on_the_target_and_steady_on_the_guard_is_promoted() -> None:
    found = verdict(BETTER, STEADY)
    assert found.decision == "promote"
    assert found.reason.startswith("Promote: +26.7 points on inbox over the champion (93.9 % interval +")
    assert [c.against for c in found.comparisons] == ["champion", "in_context", "champion"]
    assert found.alpha_spent == spend(0.05, 1)
    assert {c.level for c in found.comparisons} == {1 - 2 * spend(0.05, 1)}


def test_a_small_gain_is_held_for_want_of_evidence() -> None:
    found = verdict(arms(champion=share(60), challenger=share(63), in_context=share(40)))
    assert found.decision == "hold"
    assert found.reason.startswith("Hold: not enough evidence yet: +2.0 points on inbox over the champion")


def test_better_than_the_champion_but_not_than_the_prompt_is_held() -> None:
    found = verdict(arms(champion=share(60), challenger=share(100), in_context=share(100)))
    assert found.decision == "hold"
    assert "no gain: +0.0 points on inbox over the in-context arm" in found.reason


def test_worse_than_the_champion_is_rejected_even_if_something_else_is_only_unclear() -> None:
    found = verdict(arms(champion=share(100), challenger=share(60), in_context=share(60)), STEADY)
    assert found.decision == "reject"
    assert found.reason.startswith("Reject: worse than the champion: -26.7 points")
    assert "1 more condition failed" in found.reason


def test_clearly_worse_than_the_prompt_is_rejected() -> None:
    assert verdict(arms(champion=share(60), challenger=share(100), in_context=share(140))).decision == "reject"


def test_a_lost_guard_rejects_and_an_unclear_one_holds() -> None:
    lost = arms("general", champion=share(150, 200), challenger=share(100, 200))
    unclear = arms("general", champion=share(120, 200), challenger=share(114, 200))
    assert verdict(BETTER, lost).decision == "reject"
    assert "guard general lost more than 5.0 points" in verdict(BETTER, lost).reason
    assert verdict(BETTER, unclear).decision == "hold"
    assert "guard general may have lost 5.0 points or more" in verdict(BETTER, unclear).reason


def test_a_small_guard_where_nothing_changed_is_no_proof_of_harmlessness() -> None:
    small = arms("general", champion=share(15, 20), challenger=share(15, 20))
    assert verdict(BETTER, small).decision == "hold"


def test_the_gain_must_clear_the_least_effect_that_was_asked_for() -> None:
    found = verdict(BETTER, settings=PromotionSection(min_effect=0.25))
    assert found.decision == "hold"
    assert "must clear +25.0 points" in found.reason


def test_later_attempts_need_stronger_evidence() -> None:
    slight = arms(champion=share(60), challenger=share(69), in_context=share(40))
    decisions = [verdict(slight, attempt=attempt).decision for attempt in (1, 2, 5, 20, 400)]
    assert decisions[0] == "promote"
    assert decisions[-1] == "hold"
    assert decisions == sorted(decisions, reverse=True)  # once it holds, it never promotes again


@pytest.mark.parametrize(
    ("target", "fields", "said"),
    [
        (BETTER, {"challenger_id": "ver_0"}, "the challenger is the champion"),
        ({"champion": [], "challenger": [], "in_context": []}, {}, "no scores of the challenger"),
        (arms(champion=share(60), challenger=share(100)), {}, "no scores of the in-context arm"),
        (arms(champion=share(2, 6), challenger=share(6, 6), in_context=share(0, 6)), {}, "only 6 independent cases"),
        (arms(champion=share(60), challenger=[None] * 150, in_context=share(0)), {}, "engine error"),
    ],
)
def test_what_cannot_be_compared_is_held_with_the_reason_and_spends_nothing(
    target: dict[str, list[Score]], fields: dict[str, Any], said: str
) -> None:
    found = verdict(target, **fields)
    assert (found.decision, found.alpha_spent, found.comparisons) == ("hold", 0.0, ())
    assert said in found.reason


def test_a_guard_that_was_not_run_holds() -> None:
    assert "guard general cannot be compared" in verdict(BETTER, {"champion": STEADY["champion"]}).reason


def test_the_same_scores_in_another_order_give_the_same_verdict() -> None:
    turned = {arm: list(reversed(row)) for arm, row in BETTER.items()}
    assert verdict(BETTER).model_dump(exclude={"at"}) == verdict(turned).model_dump(exclude={"at"})


def test_a_comparison_for_display_has_the_level_it_is_asked_for() -> None:
    shown, decided = compare(BETTER, "champion", level=0.8), verdict(BETTER).comparisons[0]
    assert shown.level == 0.8
    assert (shown.effect, shown.n, shown.p_value) == (decided.effect, decided.n, decided.p_value)
    assert shown.low > decided.low


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 3), min_size=10, max_size=40))
def test_nothing_is_promoted_without_a_gain_over_both_arms(rows: list[tuple[float, float, float]]) -> None:
    challenger, champion, in_context = zip(*rows, strict=True)
    found = verdict(
        arms(challenger=challenger, champion=champion, in_context=in_context), settings=PromotionSection(resamples=1000)
    )
    if found.decision == "promote":
        assert sum(challenger) > max(sum(champion), sum(in_context))
    assert found.reason.endswith(".")
    assert "nan" not in found.reason
