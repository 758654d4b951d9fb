from __future__ import annotations

from pathlib import Path

from sharpen.benchmarks import prefix
from sharpen.testing import tiny_model


def test_critics_of_one_answer_say_the_same_together_and_apart(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "tiny", texts=[prefix.CONTEXT, *prefix.CRITICS])
    figures = prefix.measure(str(base), rounds=1)
    assert figures["equal_answers"] is True
    assert len(figures["prompt_tokens"]) == 4
    assert min(figures["prompt_tokens"]) >= prefix.CONTEXT_TOKENS + prefix.SUFFIX_TOKENS
    assert figures["ratio"] > 0
