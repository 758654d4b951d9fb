from __future__ import annotations

from pathlib import Path

from sharpen.benchmarks import dpo_speed
from sharpen.testing import tiny_model


def test_both_trainers_learn_the_same_from_the_same_pairs(tmp_path: Path) -> None:
    texts = [*dpo_speed.QUESTIONS, *dpo_speed.SYSTEMS, *dpo_speed.CHOSEN, *dpo_speed.REJECTED]
    figures = dpo_speed.measure(str(tiny_model(tmp_path / "tiny", texts=texts)), rounds=1)
    assert figures["largest_difference_of_a_pairs_loss"] < 1e-4
    assert figures["largest_difference_of_a_steps_loss"] < 1e-4
    assert figures["tokens"] > 3000
    assert figures["ratio"] > 0 and figures["ratio_to_trl_precomputed"] > 0
    assert len(figures["rounds"]) == 1
