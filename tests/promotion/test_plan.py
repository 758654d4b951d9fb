from __future__ import annotations

from sharpen.config import PromotionSection
from sharpen.promotion.gate import decide
from sharpen.promotion.plan import bent, plan_of
from sharpen.records import Score, Verdict

SUITES = {"inbox": "d1", "general": "d2"}


def verdict(alpha: float, alpha_spent: float = 0.01) -> Verdict:
    return Verdict(
        id="vdt_1", cycle_id="c0", champion_id="a", challenger_id="b", decision="hold", reason="Hold.", comparisons=(),
        alpha_spent=alpha_spent, attempt=1, alpha=alpha,
    )  # fmt: skip


def test_what_was_declared_and_did_not_change_is_no_fault() -> None:
    plan = plan_of(PromotionSection(), SUITES)
    assert bent(plan, plan_of(PromotionSection(), SUITES), [verdict(0.05)]) is None
    assert bent(None, plan, []) is None


def test_a_suite_that_changed_after_training_began_is_named() -> None:
    plan = plan_of(PromotionSection(), SUITES)
    for now in ({"inbox": "d1", "general": "other"}, {"inbox": "d1"}, {**SUITES, "new": "d3"}):
        told = bent(plan, plan_of(PromotionSection(), now), [])
        assert told is not None
        assert told.endswith("was changed after training began")


def test_a_margin_that_was_widened_after_training_began_is_named() -> None:
    plan = plan_of(PromotionSection(), SUITES)
    told = bent(plan, plan_of(PromotionSection(guard_margin=0.2, allow_unarmed=True), SUITES), [])
    assert told == "[promotion] allow_unarmed, guard_margin was changed after training began"


def test_alpha_may_fall_over_a_life_but_not_rise() -> None:
    raised, lowered = plan_of(PromotionSection(alpha=0.1), SUITES), plan_of(PromotionSection(alpha=0.01), SUITES)
    told = bent(None, raised, [verdict(0.05)])
    assert told is not None
    assert "alpha was raised from 0.05 to 0.1 after data were seen" in told
    assert bent(None, lowered, [verdict(0.05)]) is None
    assert bent(None, raised, [verdict(0.05, alpha_spent=0.0)]) is None  # it tested nothing: no data were seen


def test_a_bent_plan_holds_even_the_best_challenger_and_spends_nothing() -> None:
    def scores(arm: str, value: float) -> list[Score]:
        return [
            Score(
                id=f"scr_{arm}_{n}", evaluation_id="e", arm=arm, version_id=arm, suite="inbox", tier="gate",
                scorer="exact", case_id=f"case_{n}", cluster=f"case_{n}", value=value,
            )
            for n in range(100)
        ]  # fmt: skip

    target = {"champion": scores("champion", 0.0), "in_context": scores("in_context", 0.0)}
    target["challenger"] = scores("challenger", 1.0)

    def decided(digest: str) -> Verdict:
        return decide(
            cycle_id="c1", champion_id="a", challenger_id="b", targets={"inbox": target}, guards={}, attempt=1,
            settings=PromotionSection(), digests={"inbox": digest}, plan=plan_of(PromotionSection(), {"inbox": "d1"}),
        )  # fmt: skip

    assert decided("d1").decision == "promote"
    assert decided("d1").suites == {"inbox": "d1"}
    held = decided("d2")
    assert (held.decision, held.alpha_spent) == ("hold", 0.0)
    assert "the suite inbox was changed after training began" in held.reason
