from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.config import PromotionSection
from sharpen.promotion.gate import compare, decide
from sharpen.records import Score, Verdict, Vital
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
        cycle_id="c1",
        champion_id="ver_0",
        targets={"inbox": target},
        guards={"general": guard} if guard else {},
        **given,
    )


def test_better_on_the_target_and_steady_on_the_guard_is_promoted() -> None:
    found = verdict(BETTER, STEADY)
    assert found.decision == "promote"
    assert found.reason.startswith("Promote: +28 points on inbox over the champion (96.7 % interval +")
    assert [c.against for c in found.comparisons] == ["champion", "in_context", "champion"]
    assert found.alpha_spent == spend(0.05, 1)
    assert found.comparisons[0].effect == pytest.approx(40 / 150)  # the record is exact, the sentence is rounded
    assert {c.state for c in found.comparisons} == {"passed"}
    assert {c.level for c in found.comparisons} == {1 - 2 * spend(0.05, 1)}


def test_a_small_gain_is_held_for_want_of_evidence() -> None:
    found = verdict(arms(champion=share(60), challenger=share(63), in_context=share(40)))
    assert found.decision == "hold"
    assert found.reason.startswith("Hold: not enough evidence yet: +2 points on inbox over the champion")


def test_better_than_the_champion_but_not_than_the_prompt_is_held() -> None:
    found = verdict(arms(champion=share(60), challenger=share(100), in_context=share(100)))
    assert found.decision == "hold"
    assert "no gain: +0 points on inbox over the in-context arm" in found.reason


def test_worse_than_the_champion_is_rejected_even_if_something_else_is_only_unclear() -> None:
    found = verdict(arms(champion=share(100), challenger=share(60), in_context=share(60)), STEADY)
    assert found.decision == "reject"
    assert found.reason.startswith("Reject: worse than the champion: -28 points")
    assert "1 more condition failed" in found.reason


def test_clearly_worse_than_the_prompt_is_rejected() -> None:
    assert verdict(arms(champion=share(60), challenger=share(100), in_context=share(140))).decision == "reject"


def test_a_lost_guard_rejects_and_an_unclear_one_holds() -> None:
    lost = arms("general", champion=share(150, 200), challenger=share(100, 200))
    unclear = arms("general", champion=share(120, 200), challenger=share(114, 200))
    assert verdict(BETTER, lost).decision == "reject"
    assert "guard general lost more than 5 points" in verdict(BETTER, lost).reason
    assert verdict(BETTER, unclear).decision == "hold"
    assert "guard general may have lost 5 points or more" in verdict(BETTER, unclear).reason


def test_a_small_guard_where_nothing_changed_is_no_proof_of_harmlessness() -> None:
    small = arms("general", champion=share(15, 20), challenger=share(15, 20))
    assert verdict(BETTER, small).decision == "hold"


def test_the_gain_must_clear_the_least_effect_that_was_asked_for() -> None:
    found = verdict(BETTER, settings=PromotionSection(min_effect=0.25))
    assert found.decision == "hold"
    assert "must clear +25 points" in found.reason


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


def grouped(values: dict[str, Sequence[float]], groups: Sequence[str], suite: str = "inbox") -> dict[str, list[Score]]:
    made = arms(suite, **values)
    return {
        arm: [score.model_copy(update={"groups": (group,)}) for score, group in zip(row, groups, strict=True)]
        for arm, row in made.items()
    }


def test_a_group_that_pays_for_the_others_gain_stops_the_promotion() -> None:
    groups = ["region=north"] * 200 + ["region=south"] * 200
    champion = share(140, 200) + share(140, 200)
    found = verdict(
        grouped({"champion": champion, "challenger": share(195, 200) + share(110, 200), "in_context": champion}, groups)
    )
    assert found.decision == "reject"
    assert "guard inbox [region=south] lost more than 5 points" in found.reason
    shown = {(one.group, one.against): one.state for one in found.comparisons if one.claim == "not_worse"}
    assert shown == {("region=north", "champion"): "passed", ("region=south", "champion"): "failed"}


def test_small_losses_against_each_champion_do_not_add_up_unseen() -> None:
    # Each champion lost less than the margin to the one before, but the first version is 12 points away.
    champion, challenger, first = share(310, 400), share(308, 400), share(358, 400)
    guard = arms("general", champion=champion, challenger=challenger, first=first)
    target = BETTER | arms(first=share(50))
    alone = verdict(target, guard, settings=PromotionSection(guard_margin=0.06))
    assert alone.decision == "promote"
    found = verdict(target, guard, settings=PromotionSection(guard_margin=0.06), first_id="ver_first")
    assert found.decision == "reject"
    assert "over the first version" in found.reason


def test_where_the_champion_is_the_first_version_nothing_is_asked_twice() -> None:
    found = verdict(BETTER, STEADY, first_id="ver_0")
    assert [c.against for c in found.comparisons] == ["champion", "in_context", "champion"]


def test_a_first_version_that_was_not_measured_holds() -> None:
    found = verdict(BETTER, STEADY, first_id="ver_first")
    assert found.decision == "hold"
    assert "there are no scores of the first version" in found.reason


def test_a_mean_below_its_floor_is_not_promoted_however_much_better() -> None:
    held = verdict(BETTER, STEADY, settings=PromotionSection(floors={"inbox": 0.65}))
    assert held.decision == "hold"
    assert "may be below its floor of 65 %" in held.reason
    lost = verdict(BETTER, STEADY, settings=PromotionSection(floors={"general": 0.9}))
    assert lost.decision == "reject"
    kept = verdict(BETTER, STEADY, settings=PromotionSection(floors={"general": 0.4}))
    assert kept.decision == "promote"
    assert "every floor is kept" in kept.reason


def test_a_guard_has_its_own_margin() -> None:
    small = arms("general", champion=share(50, 80), challenger=share(49, 80))
    assert verdict(BETTER, small).decision == "hold"
    assert verdict(BETTER, small, settings=PromotionSection(margins={"general": 0.15})).decision == "promote"


def test_an_unarmed_guard_is_named_and_needs_leave() -> None:
    small = arms("general", champion=share(15, 20), challenger=share(15, 20))
    found = verdict(BETTER, small)
    assert (found.decision, found.unarmed) == ("hold", ("general",))
    assert "guard general is unarmed: its 20 cases resolve" in found.reason
    allowed = verdict(BETTER, small, settings=PromotionSection(allow_unarmed=True))
    assert (allowed.decision, allowed.unarmed) == ("promote", ("general",))
    assert "unarmed, as allowed: general" in allowed.reason


def test_leave_for_unarmed_guards_does_not_excuse_a_loss() -> None:
    lost = arms("general", champion=share(15, 20), challenger=share(12, 20))
    assert verdict(BETTER, lost, settings=PromotionSection(allow_unarmed=True)).decision != "promote"


def test_of_several_targets_one_gain_suffices_and_the_others_must_not_lose() -> None:
    def decided(**second: Sequence[float]) -> Verdict:
        return decide(
            cycle_id="c1", champion_id="ver_0", challenger_id="ver_1", guards={}, attempt=1,
            targets={"inbox": BETTER, "chat": arms("chat", **second)}, settings=PromotionSection(),
        )  # fmt: skip

    even = {"champion": share(200, 300), "challenger": share(201, 300), "in_context": share(200, 300)}
    assert decided(**even).decision == "promote"
    worse = even | {"challenger": share(150, 300)}
    assert decided(**worse).decision == "reject"
    neither = decide(
        cycle_id="c1", champion_id="ver_0", challenger_id="ver_1", guards={}, attempt=1, settings=PromotionSection(),
        targets={"chat": arms("chat", **even), "mail": arms("mail", **even)},
    )  # fmt: skip
    assert neither.decision == "hold"


def test_more_cases_are_asked_for_in_numbers() -> None:
    found = verdict(arms(champion=share(60), challenger=share(66), in_context=share(40)), attempt=3)
    assert found.decision == "hold"
    assert found.more_cases is not None
    assert f"{found.more_cases:,} more cases would probably decide" in found.reason
    n = 150 + found.more_cases
    again = verdict(
        arms(champion=share(round(0.4 * n), n), challenger=share(round(0.44 * n), n), in_context=share(n // 4, n)),
        attempt=4,
    )
    assert again.decision == "promote"


def test_no_number_of_cases_is_promised_where_nothing_was_gained() -> None:
    assert verdict(arms(champion=share(60), challenger=share(60), in_context=share(40))).more_cases is None


def test_every_verdict_ran_its_controls() -> None:
    found = verdict(BETTER, STEADY)
    assert set(found.controls) == {"a/a on inbox", "planted on general"}
    assert all(value <= 0.05 for value in found.controls.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.5, 1.5])
def test_a_score_that_is_no_score_is_never_promoted(bad: float) -> None:
    rows = share(100)
    rows[3] = bad
    found = verdict(arms(champion=share(60), challenger=rows, in_context=share(80)))
    assert (found.decision, found.alpha_spent) == ("hold", 0.0)


def test_a_case_that_is_there_twice_is_refused() -> None:
    target = {arm: [*row, row[0]] for arm, row in BETTER.items()}
    assert "scored twice" in verdict(target).reason


def test_missing_cells_up_to_a_twentieth_are_left_out_and_more_hold() -> None:
    def found(missing: int) -> Verdict:
        challenger = [*share(100)[missing:], *[None] * missing]
        return verdict(arms(champion=share(60), challenger=challenger, in_context=share(80)))

    assert found(7).comparisons[0].n == 143
    assert found(9).decision == "hold"
    assert "not scored on both sides" in found(9).reason


def test_a_comparison_for_display_has_the_level_it_is_asked_for() -> None:
    shown, decided = compare(BETTER, "champion", level=0.8), verdict(BETTER).comparisons[0]
    assert shown.level == 0.8
    assert (shown.effect, shown.n, shown.p_value) == (decided.effect, decided.n, decided.p_value)
    assert shown.low > decided.low


LEAK = Vital(sign="contamination", name="contaminated cases of inbox", value=2, warn=0, alarm=0, state="alarm")
DRIFT = Vital(sign="kl", name="KL to the first version", value=0.7, warn=0.25, alarm=0.5, state="alarm")


def test_a_leak_holds_what_would_be_promoted_and_says_so() -> None:
    held = verdict(BETTER, STEADY, vitals=[DRIFT, LEAK])
    assert held.decision == "hold"
    assert held.reason.startswith(
        "Hold: the cycle's page alarms (contaminated cases of inbox: 2); otherwise +28 points"
    )
    assert held.vitals == (DRIFT, LEAK)
    assert held.alpha_spent == spend(0.05, 1)  # the cases were asked


def test_a_sign_that_was_not_named_to_stop_is_shown_and_stops_nothing() -> None:
    assert verdict(BETTER, STEADY, vitals=[DRIFT]).decision == "promote"
    strict = PromotionSection(stop_on=["kl"])
    assert verdict(BETTER, STEADY, vitals=[DRIFT], settings=strict).decision == "hold"
    warned = DRIFT.model_copy(update={"state": "warn"})
    assert verdict(BETTER, STEADY, vitals=[warned], settings=strict).decision == "promote"


def test_an_alarm_turns_no_rejection_into_a_hold_and_is_kept_where_nothing_could_be_compared() -> None:
    worse = arms(champion=share(120), challenger=share(60), in_context=share(60))
    assert verdict(worse, STEADY, vitals=[LEAK]).decision == "reject"
    assert verdict(arms(champion=share(60), challenger=share(100)), vitals=[LEAK]).vitals == (LEAK,)


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
