from __future__ import annotations

from dataclasses import replace

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Design
from sharpen.promotion.power import joint_power

SETTINGS = PromotionSection()


def test_the_cases_that_are_asked_for_give_the_joint_power_that_is_promised() -> None:
    target, guard = Design("inbox", 500, groups=(("g=a", 250), ("g=b", 250))), Design("general", 500)
    needed = joint_power([target], [guard], SETTINGS).needed
    assert needed["inbox"] and needed["general"]
    half = needed["inbox"] // 2 + 1
    enough = joint_power(
        [Design("inbox", 2 * half, groups=(("g=a", half), ("g=b", half)))],
        [Design("general", needed["general"])],
        SETTINGS,
    )
    assert 0.8 <= enough.joint <= 0.95  # a suite's hungriest claim sets its size; its others have more than they need
    assert joint_power([target], [guard], SETTINGS).joint < 0.5


def test_another_guard_never_raises_the_joint_power() -> None:
    target = Design("inbox", 2000)
    joints = [
        joint_power([target], [Design(f"g{n}", 1500) for n in range(count)], SETTINGS).joint for count in range(5)
    ]
    assert joints == sorted(joints, reverse=True)
    assert joints[-1] < joints[0]


def test_later_attempts_need_more_cases_and_clusters_count_for_less() -> None:
    target = Design("inbox", 2000)
    first, last = (joint_power([target], [], SETTINGS, attempt=attempt).needed["inbox"] for attempt in (1, 20))
    assert first and last and first < last
    clustered = joint_power([replace(target, largest=5, clusters=400)], [], SETTINGS).needed["inbox"]
    assert clustered and clustered > 1.8 * last


def test_a_guard_that_cannot_resolve_its_margin_is_named_before_anything_is_trained() -> None:
    found = joint_power([Design("inbox", 3000)], [Design("general", 40), Design("safety", 3000)], SETTINGS)
    assert found.unarmed == ("general",)
    wide = SETTINGS.model_copy(update={"margins": {"general": 0.4}})
    assert joint_power([Design("inbox", 3000)], [Design("general", 40)], wide).unarmed == ()


def test_a_gain_that_is_not_above_what_must_be_cleared_needs_no_finite_number_of_cases() -> None:
    greedy = SETTINGS.model_copy(update={"min_effect": 0.05})
    assert joint_power([Design("inbox", 3000)], [], greedy).needed == {"inbox": None}


def test_two_points_need_some_thousand_cases() -> None:
    settings = SETTINGS.model_copy(update={"guard_margin": 0.02})
    found = joint_power([], [Design("general", 1000)], settings, attempt=1, has_first=False).needed["general"]
    assert found is not None
    assert 2000 < found < 5000
