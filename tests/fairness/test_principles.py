from __future__ import annotations

import pytest

from sharpen.fairness.principles import Ruling, rule


@pytest.mark.parametrize(
    ("chosen", "rejected", "ruling"),
    [
        ([], [], Ruling("keep", 0)),
        ([], ["harm"], Ruling("keep", 1)),
        (["harm"], [], Ruling("flip", 1)),
        (["harm"], ["harm"], Ruling("drop", 0)),
        (["style"], ["style"], Ruling("keep", 0)),
    ],
)
def test_an_answer_that_breaks_a_principle_never_wins(chosen: list[str], rejected: list[str], ruling: Ruling) -> None:
    assert rule(chosen, rejected, ["harm"]) == ruling


def test_a_star_stands_for_every_principle() -> None:
    assert rule(["style"], [], ["*"]) == Ruling("flip", 1)
