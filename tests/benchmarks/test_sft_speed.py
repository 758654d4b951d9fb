from __future__ import annotations

from pathlib import Path

from sharpen.benchmarks import sft_speed
from sharpen.testing import tiny_model


def test_both_trainers_learn_the_same_from_the_same_rows(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "tiny", texts=[*sft_speed.QUESTIONS, *sft_speed.SYSTEMS, *sft_speed.TOPICS])
    figures = sft_speed.measure(str(base), rounds=1)
    assert figures["largest_loss_difference"] < 1e-3
    assert figures["tokens"] > 1000
    assert figures["ratio"] > 0
