from __future__ import annotations

import numpy as np

from sharpen.config import PromotionSection
from sharpen.promotion.claims import Design, claims, design
from sharpen.promotion.gate import decide
from sharpen.promotion.samples import Samples
from sharpen.promotion.sequential import LOOKS, front, looks, stand
from sharpen.promotion.weigh import terms_of
from sharpen.records import Case, Message, Score
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

SETTINGS = PromotionSection()
N = 1600


def suite(count: int, per_cluster: int = 1) -> Suite:
    cases = tuple(
        make_case([Message(role="user", content=f"q {n}")], "yes", tier="gate", cluster=f"c{n // per_cluster}")
        for n in range(count)
    )
    return Suite("inbox", cases)


def asked(cases: tuple[Case, ...], accuracy: dict[str, float], seed: int) -> dict[str, list[Score]]:
    rng = np.random.default_rng(seed)
    shared = {case.id: rng.random() for case in cases}
    return {
        arm: [
            Score(
                id=f"scr_{arm}_{case.id}", evaluation_id="e", arm=arm, version_id=arm, suite="inbox", tier="gate",
                scorer="exact", case_id=case.id, cluster=case.cluster,
                value=float((shared[case.id] if rng.random() < 0.82 else rng.random()) < right),
            )
            for case in cases
        ]
        for arm, right in accuracy.items()
    }  # fmt: skip


def run(accuracy: dict[str, float], seed: int = 0) -> tuple[str, int, str]:
    """Evaluate in parts, as the loop does, and decide. Returns the decision, the cases asked, and the reason."""
    whole = suite(N)
    plan = {"inbox": design("inbox", whole.tier("gate"))}
    made, terms = claims(list(plan.values()), ["inbox"], SETTINGS, False), terms_of(SETTINGS, 1)
    scores: dict[str, list[Score]] = {}
    for share in looks(plan.values()):
        scores = asked(front(whole, "gate", share).cases, accuracy, seed)
        if not stand(made, Samples({"inbox": scores}), plan, terms):
            break
    found = decide(
        cycle_id="c1", champion_id="a", challenger_id="b", targets={"inbox": scores}, guards={}, attempt=1,
        settings=SETTINGS, designs=plan,
    )  # fmt: skip
    return found.decision, len(scores["challenger"]), found.reason


def test_a_clear_gain_is_promoted_before_the_cases_are_used_up() -> None:
    decision, cases, _ = run({"champion": 0.5, "challenger": 0.75, "in_context": 0.5})
    assert decision == "promote"
    assert cases < N / 2


def test_no_gain_is_given_up_on_the_way() -> None:
    decision, cases, reason = run({"champion": 0.6, "challenger": 0.58, "in_context": 0.6})
    assert decision in ("hold", "reject")
    assert cases < N
    assert f"of {N} cases, a gain is out of reach" in reason


def test_a_short_suite_is_evaluated_whole() -> None:
    short = suite(200)
    assert looks([design("inbox", short.cases)]) == (1.0,)
    assert front(short, "gate", 0.125) is short


def test_the_front_grows_by_whole_clusters_in_an_order_that_knows_no_answers() -> None:
    whole = suite(N, per_cluster=5)
    fronts = [front(whole, "gate", (1 + look) / LOOKS).cases for look in range(LOOKS)]
    assert [case.id for case in fronts[0]] == [case.id for case in fronts[-1][: len(fronts[0])]]
    assert {case.id for case in fronts[-1]} == {case.id for case in whole.cases}
    for part in fronts:
        sizes = {}
        for case in part:
            sizes[case.cluster] = sizes.get(case.cluster, 0) + 1
        assert set(sizes.values()) == {5}


def test_the_decision_reads_the_cases_in_the_order_they_were_asked() -> None:
    whole = suite(N)
    scores = asked(whole.cases, {"challenger": 0.6, "champion": 0.6}, seed=3)
    claim = claims([Design("inbox", N)], ["inbox"], SETTINGS, False)[0]
    sample = Samples({"inbox": scores}).of(claim)
    by_case = {score.case_id: score.value for score in scores["challenger"]}
    assert sample.ours.tolist() == [by_case[case.id] for case in front(whole, "gate", 1.0).cases]
