from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import Refused
from sharpen.evaluation.collapse import (
    canaries,
    distinct_n,
    diversity,
    drift,
    hacking,
    judge_gap,
    kl_per_token,
    leaks,
    length,
    real_data,
    real_share,
    vendi,
    word_vectors,
)
from sharpen.records import Example, Message, Vital
from sharpen.verify.contamination import Contamination

RNG = np.random.default_rng(0)
WORDS = [f"word{i}" for i in range(300)]


def replies(n: int, vocabulary: int = 300, length: int = 12, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[:vocabulary], length)) for _ in range(n)]


def example(origin: str, weight: float = 1.0) -> Example:
    return Example(
        id=f"exa_{origin}", cycle_id="c", messages=(Message(role="user", content="q"),), chosen="a", origin=origin,  # type: ignore[arg-type]
        evidence=("x",), weight=weight,
    )  # fmt: skip


def by_name(vitals: list[Vital]) -> dict[str, Vital]:
    return {one.name: one for one in vitals}


def test_distinct_counts_each_n_gram_once() -> None:
    assert distinct_n(["a b c", "a b c"], 2) == 0.5
    assert distinct_n([], 2) == distinct_n(["one"], 2) == 0.0


def test_vendi_counts_what_is_different() -> None:
    assert vendi(np.eye(7)) == pytest.approx(7.0)
    assert vendi(np.ones((9, 4))) == pytest.approx(1.0)
    assert vendi(np.repeat(np.eye(3), 5, axis=0) * 4) == pytest.approx(3.0)
    rows = RNG.normal(size=(30, 50))
    assert vendi(rows) == pytest.approx(vendi(np.hstack([rows, np.zeros((30, 80))])))  # by either matrix
    tall = RNG.normal(size=(50, 8))
    kernel = (unit := tall / np.linalg.norm(tall, axis=1, keepdims=True)) @ unit.T
    values = np.linalg.eigvalsh(kernel / 50)
    values = values[values > 1e-12]
    assert vendi(tall) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


@pytest.mark.parametrize("rows", [[[0.0, 0.0]], [[float("nan"), 1.0]], []])
def test_vendi_refuses_what_has_no_direction(rows: list[list[float]]) -> None:
    with pytest.raises(Refused, match="finite vectors"):
        vendi(rows)


def test_word_vectors_count_words() -> None:
    assert word_vectors(["b a b", "a"]).tolist() == [[1.0, 2.0], [1.0, 0.0]]


def test_kl_is_what_it_is_for_known_distributions() -> None:
    now, first = np.array([0.7, 0.2, 0.1]), np.array([0.4, 0.4, 0.2])
    truth = float((now * np.log(now / first)).sum())
    tokens = [RNG.choice(3, size=20, p=now) for _ in range(400)]
    sums = [[float(np.log(one[t]).sum()) for t in tokens] for one in (now, first)]
    kl, error = kl_per_token(*sums, [20] * 400)
    assert abs(kl - truth) < 4 * error < 0.05
    assert kl_per_token([-3.0], [-3.0], [2]) == (0.0, 0.0)


def test_kl_refuses_what_is_no_log_probability_and_replies_without_tokens() -> None:
    for now, tokens in (([float("nan")], [1]), ([-1.0], [0]), ([], [])):
        with pytest.raises(Refused):
            kl_per_token(now, [-1.0] * len(now), tokens)


def test_real_data_is_what_people_wrote_by_weight() -> None:
    assert real_share([example("correction", 3), example("verified"), example("revision")]) == 0.6
    assert real_share([]) == 0.0


def test_a_healthy_version_raises_no_alarm() -> None:
    clean = Contamination(suite="s", cases=9, runs=0, near_duplicates=0, case_ids=(), example_ids=())
    for seed in range(20):
        first, now = replies(200, seed=seed), replies(200, seed=1000 + seed)
        vitals = [*diversity(first, now), length(first, now), real_data([example("correction")]), drift((0.05, 0.01))]
        vitals += [leaks(clean), canaries(0, 200)]
        assert {one.name: one.state for one in vitals if one.state != "ok"} == {}
    gains = [hacking(*np.random.default_rng(seed).normal(0.1, 0.3, (2, 200))).state for seed in range(100)]
    assert gains.count("alarm") == 0
    assert gains.count("ok") >= 93


SEEN = Contamination(suite="s", cases=9, runs=1, near_duplicates=0, case_ids=("c1",), example_ids=("e",))
FIRST = replies(200)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("distinct-2, now to first", diversity(FIRST, replies(200, vocabulary=15, seed=1))),
        ("Vendi, now to first", diversity(FIRST, replies(10, seed=1) * 20)),
        ("length, now to first", [length(FIRST, replies(200, length=17, seed=1))]),
        ("length, now to first", [length(FIRST, replies(200, length=6, seed=1))]),
        ("real-data share", [real_data([example("revision", 9), example("correction")])]),
        ("KL to the first version", [drift((0.8, 0.05))]),
        (
            "trained judge's gain minus held-out judge's",
            [hacking([0.4, 0.3, 0.5, 0.4] * 20, [0.0, -0.1, 0.1, 0.0] * 20)],
        ),
        ("contaminated cases of s", [leaks(SEEN)]),
        ("texts with a suite's canary", [canaries(1, 200)]),
    ],
)  # fmt: skip
def test_each_planted_collapse_alarms(name: str, found: list[Vital]) -> None:
    assert by_name(found)[name].state == "alarm"


def test_who_learns_to_answer_with_labels_has_not_collapsed() -> None:
    labels = [WORDS[i % 6] for i in range(200)]
    for now in (labels, [WORDS[(i * 7) % 6] for i in range(200)]):
        vitals = [*diversity(FIRST, now, labels), length(FIRST, now, labels)]
        assert {one.state for one in vitals} == {"ok", "unmeasured"}  # a label holds no pair of words
    stuck = diversity(FIRST, [WORDS[0]] * 200, labels)
    assert {one.name: one.state for one in stuck}["distinct-1, now to first"] == "alarm"
    assert length(FIRST, [" ".join([label] * 30) for label in labels], labels).state == "alarm"


def test_a_gain_that_the_other_judge_sees_less_of_is_a_warning_not_an_alarm() -> None:
    assert hacking([0.4, 0.3, 0.5, 0.4] * 20, [0.1, 0.0, 0.2, 0.1] * 20).state == "warn"


def test_judge_hacking_is_told_from_noise() -> None:
    rng = np.random.default_rng(5)
    alarms = {"hacked": 0, "honest": 0}
    for _ in range(200):
        gain = rng.normal(0.1, 0.2, 150)
        for kind, extra in (("hacked", 0.1), ("honest", 0.0)):
            value, error = judge_gap(gain + extra + rng.normal(0, 0.2, 150), gain + rng.normal(0, 0.2, 150))
            alarms[kind] += value > 2 * error
    assert alarms["hacked"] >= 190
    assert alarms["honest"] <= 10


def test_what_cannot_be_measured_says_so_and_is_never_ok() -> None:
    vitals = [*diversity([], []), *diversity(FIRST, []), length([], []), length(FIRST, []), real_data([])]
    vitals += [drift(None, "why"), hacking([0.1], [0.1])]
    assert {(one.state, one.value) for one in vitals} == {("unmeasured", None)}
    assert all(one.note for one in vitals)
    with pytest.raises(Refused):
        judge_gap([0.1], [0.1])
