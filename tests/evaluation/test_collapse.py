from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import Refused
from sharpen.evaluation.collapse import (
    Vital,
    distinct_n,
    judge_gap,
    kl_per_token,
    page,
    real_share,
    vendi,
    word_vectors,
)
from sharpen.records import Example, Message, Score
from sharpen.verify.contamination import Contamination

RNG = np.random.default_rng(0)
WORDS = [f"word{i}" for i in range(300)]


def replies(n: int, vocabulary: int = 300, length: int = 12, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[:vocabulary], length)) for _ in range(n)]


def scores(texts: list[str], version: str = "v") -> list[Score]:
    return [
        Score(
            id=f"scr_{version}_{i}", evaluation_id="e", arm="a", version_id=version, suite="s", tier="dev",
            scorer="exact", case_id=f"c{i}", cluster=f"c{i}", value=1.0, reply=text,
        )
        for i, text in enumerate(texts)
    ]  # fmt: skip


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
    kl, error = kl_per_token([np.log(now[t]).tolist() for t in tokens], [np.log(first[t]).tolist() for t in tokens])
    assert abs(kl - truth) < 4 * error < 0.05
    assert kl_per_token([[-1.0, -2.0]], [[-1.0, -2.0]]) == (0.0, 0.0)


def test_kl_refuses_other_tokens() -> None:
    for now, first in (([[-1.0]], [[-1.0, -1.0]]), ([[float("nan")]], [[-1.0]]), ([], [])):
        with pytest.raises(Refused):
            kl_per_token(now, first)


def test_real_data_is_what_people_wrote_by_weight() -> None:
    assert real_share([example("correction", 3), example("verified"), example("revision")]) == 0.6
    assert real_share([]) == 0.0


def test_a_healthy_version_raises_no_alarm() -> None:
    clean = Contamination(suite="s", cases=9, runs=0, near_duplicates=0, case_ids=(), example_ids=())
    gap = judge_gap(RNG.normal(0.1, 0.3, 200), RNG.normal(0.1, 0.3, 200))
    for seed in range(20):
        first, now = scores(replies(200, seed=seed)), scores(replies(200, seed=1000 + seed))
        vitals = page(first, now, [example("correction")], contaminated=[clean], kl=(0.05, 0.01), gap=gap)
        assert {one.name: one.state for one in vitals if one.state != "ok"} == {}


@pytest.mark.parametrize(
    ("name", "texts", "more"),
    [
        ("distinct-2, now to first", replies(200, vocabulary=15, seed=1), {}),
        ("Vendi, now to first", replies(10, seed=1) * 20, {}),
        ("length, now to first", replies(200, length=17, seed=1), {}),
        ("length, now to first", replies(200, length=6, seed=1), {}),
        ("real-data share", replies(200, seed=1), {"examples": [example("revision", 9), example("correction")]}),
        ("KL to the first version", replies(200, seed=1), {"kl": (0.8, 0.05)}),
        ("trained judge's gain minus held-out judge's", replies(200, seed=1), {"gap": (0.12, 0.03)}),
        (
            "contaminated cases", replies(200, seed=1),
            {"contaminated": [
                Contamination(suite="s", cases=9, runs=1, near_duplicates=0, case_ids=("c1",), example_ids=("e",))
            ]},
        ),
    ],
)  # fmt: skip
def test_each_planted_collapse_is_blocked(name: str, texts: list[str], more: dict[str, object]) -> None:
    given = {"examples": [example("correction")]} | more
    vitals = by_name(page(scores(replies(200)), scores(texts), **given))  # type: ignore[arg-type]
    assert vitals[name].state == "block"


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
    assert {one.state for one in page([], [], [])} == {"unmeasured"}
    silent = [score.model_copy(update={"reply": None}) for score in scores(replies(3))]
    assert by_name(page(scores(replies(3)), silent, []))["Vendi, now to first"].state == "unmeasured"
    with pytest.raises(Refused):
        judge_gap([0.1], [0.1])
