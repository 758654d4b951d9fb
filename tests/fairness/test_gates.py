from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import Refused
from sharpen.fairness.gates import judge

CASES = 600  # per group: at a tenth of discordant pairs, n = 6.18 * 0.1 / 0.05^2 = 250 would do for power 0.8


def answers(random: np.random.Generator, loss: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return challenger and champion: 10 % of the cases change in either direction, and B loses `loss` on top."""
    champion = {group: (random.random(CASES) < 0.8).astype(float) for group in "AB"}
    challenger = {}
    for group, before in champion.items():
        p_lost, p_won = 0.05 / 0.8 + (loss / 0.8 if group == "B" else 0.0), 0.05 / 0.2
        draw = random.random(CASES)
        challenger[group] = np.where(before == 1, draw >= p_lost, draw < p_won).astype(float)
    return challenger, champion


def test_a_planted_loss_of_five_points_in_one_group_is_stopped_where_a_clean_challenger_passes() -> None:
    random = np.random.default_rng(5)
    clean = sum(judge(*answers(random, 0.0)).passes for _ in range(300))
    planted = sum(not judge(*answers(random, 0.05)).passes for _ in range(300))
    assert clean >= 240 and planted >= 285


def test_small_losses_do_not_add_up_unseen() -> None:
    first = {"A": np.ones(400)}
    champion = {"A": np.array([0.0] * 14 + [1.0] * 386)}
    challenger = {"A": np.array([0.0] * 24 + [1.0] * 376)}
    assert judge(challenger, champion).passes
    ruling = judge(challenger, champion, first=first)
    assert not ruling.passes and "first version" in ruling.reason


def test_a_bias_metric_is_held_like_a_group_and_few_cases_are_no_pass() -> None:
    groups = {"A": np.ones(300)}
    found = judge(groups, groups, bias={"flips": (np.array([1.0] * 60 + [0.0] * 240), np.zeros(300))})
    assert not found.passes and found.reason.startswith("flips lost")
    few = {"A": np.array([1.0, 0.0, 1.0])}
    assert not judge(few, few).passes and judge(few, few).held[0].state == "open"


def test_a_gap_that_closes_because_everybody_loses_does_not_pass() -> None:
    champion = {"A": np.ones(400), "B": np.array([1.0] * 300 + [0.0] * 100)}
    challenger = {name: np.array([1.0] * 200 + [0.0] * 200) for name in "AB"}
    found = judge(challenger, champion)
    assert not found.passes and found.worst_after < found.worst_before


def test_versions_that_were_asked_about_other_groups_are_refused() -> None:
    with pytest.raises(Refused, match="'B'"):
        judge({"A": np.ones(3)}, {"A": np.ones(3), "B": np.ones(3)})
    with pytest.raises(Refused, match="no group"):
        judge({}, {})
