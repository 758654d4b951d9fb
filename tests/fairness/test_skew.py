from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import Refused
from sharpen.fairness.skew import loudness, skew

TARGET = {"x": 0.5, "y": 0.3, "z": 0.2}


def test_a_skew_that_is_large_and_sure_is_an_alarm() -> None:
    found = skew({"place": ["x"] * 820 + ["y"] * 130 + ["z"] * 50}, {"place": TARGET})[0]
    assert found.is_alarm and found.distance == pytest.approx(0.32) and found.p_value == pytest.approx(1.5e-90, rel=0.1)
    assert found.effective_groups == pytest.approx(1.45, abs=0.01)


def test_a_small_skew_among_many_rows_is_none_and_a_large_one_among_few_neither() -> None:
    many = ["x"] * 53_000 + ["y"] * 28_000 + ["z"] * 19_000
    assert not skew({"place": many}, {"place": TARGET})[0].is_alarm
    assert not skew({"place": ["x", "x", "x", "y"]}, {"place": TARGET})[0].is_alarm


def test_the_false_alarm_rate_is_small() -> None:
    random = np.random.default_rng(0)
    alarms = [
        skew({"place": random.choice(list(TARGET), 100, p=list(TARGET.values())).tolist()}, {"place": TARGET})[
            0
        ].is_alarm
        for _ in range(200)
    ]
    assert sum(alarms) <= 4


def test_small_cells_are_not_told() -> None:
    found = skew({"place": ["x"] * 100 + ["y"] * 19}, {"place": TARGET})[0]
    assert set(found.observed) == {"x"} and found.suppressed == 2


def test_unknown_categories_and_no_rows_are_refused() -> None:
    with pytest.raises(Refused, match="'w'"):
        skew({"place": ["w"]}, {"place": TARGET})
    with pytest.raises(Refused, match="no rows"):
        skew({"place": []}, {"place": TARGET})


def test_one_loud_source_is_an_alarm_and_a_crowd_is_none() -> None:
    crowd = [f"s{at}" for at in range(100)]
    assert not loudness(crowd).is_alarm and loudness(crowd).effective_sources == pytest.approx(100)
    assert loudness([*crowd, *["s0"] * 30]).is_alarm
    assert not loudness([*crowd, *["s0"] * 30], np.array([1.0] * 100 + [0.01] * 30)).is_alarm
    with pytest.raises(Refused):
        loudness([])
