from __future__ import annotations

import numpy as np
import pytest

from sharpen.fairness.amplification import amplification


def test_a_bias_that_grows_beyond_its_feedback_is_an_alarm_and_one_that_follows_it_is_none() -> None:
    random = np.random.default_rng(0)
    feedback = [[0.3 + float(random.normal(0, 0.01)) for _ in range(6)] for _ in range(3)]
    grows = [[0.1 + 0.1 * at + float(random.normal(0, 0.02)) for at in range(6)] for _ in range(3)]
    found = amplification(grows, feedback)
    assert found.is_alarm and found.slope == pytest.approx(0.1, abs=0.02) and found.low < 0.1 < found.high
    assert not amplification(feedback, feedback).is_alarm


def test_false_alarms_are_rare() -> None:
    random = np.random.default_rng(1)
    alarms = [
        amplification(random.normal(0, 0.05, (3, 5)).tolist(), np.zeros((3, 5)).tolist()).is_alarm for _ in range(60)
    ]
    assert sum(alarms) <= 6


def test_three_cycles_are_too_few_for_an_alarm_and_one_is_an_error() -> None:
    assert not amplification([[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]).is_alarm
    with pytest.raises(ValueError, match="two cycles"):
        amplification([[0.0]], [[0.0]])
