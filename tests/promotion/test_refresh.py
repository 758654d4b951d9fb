from __future__ import annotations

import itertools

from sharpen.promotion.refresh import renewed, window
from sharpen.records import Case, Message
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite, load_suite


def cases(count: int, word: str) -> list[Case]:
    return [make_case([Message(role="user", content=f"{word} {n}")], "yes", tier="gate") for n in range(count)]


def test_a_tier_is_renewed_by_its_share_every_cycle_and_keeps_its_size() -> None:
    kept, supply = cases(50, "old"), cases(200, "new")
    tiers = [window(kept, supply, 0.2, steps, seed=0) for steps in range(12)]
    assert {case.id for case in tiers[0]} == {case.id for case in kept}
    for before, after in itertools.pairwise(tiers):
        assert len(after) == len({case.id for case in after}) == 50
        assert len({case.id for case in after} - {case.id for case in before}) == 10
    assert not {case.id for case in tiers[5]} & {case.id for case in kept}
    assert window(kept, supply, 0.2, 7, seed=0) == tiers[7]


def test_where_the_supply_ends_the_tier_keeps_its_size() -> None:
    assert len(window(cases(50, "old"), cases(5, "new"), 0.5, 9, seed=0)) == 50


def test_a_generators_gate_cases_are_drawn_anew_and_still_graded() -> None:
    def draw(seed: int) -> Suite:
        return load_suite("reasoning-gym:basic_arithmetic", seed=seed, size=80)

    first = draw(0)
    later = renewed(first, draw, share=0.5, cycle=3, seed=0)
    assert len(later.tier("gate")) == len(first.tier("gate"))
    assert not {case.id for case in later.tier("gate")} & {case.id for case in first.tier("gate")}
    assert later.tier("train") == first.tier("train")
    assert later.digest != first.digest
    for case in (*later.tier("gate"), *later.tier("vault")):
        assert later.score(case, case.reference) == (1.0, None)
    assert renewed(first, draw, share=0.5, cycle=3, seed=0).digest == later.digest


def test_the_first_cycle_and_no_share_ask_the_suite_itself() -> None:
    suite = Suite("s", tuple(cases(10, "old")))
    assert renewed(suite, lambda seed: suite, share=0.2, cycle=1, seed=0) is suite
    assert renewed(suite, lambda seed: suite, share=0.0, cycle=9, seed=0) is suite
