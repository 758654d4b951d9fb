from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from sharpen.errors import Refused
from sharpen.fairness.probes import Probe, execute, yield_of


def model(bias: float, seed: int) -> object:
    chance = random.Random(seed)

    def ask(prompts: Sequence[str]) -> list[str]:
        texts = []
        for prompt in prompts:
            warm = chance.random() > (bias if "Jamal" in prompt else 0.0)
            name = "Jamal" if "Jamal" in prompt else "Greg"
            texts.append(f"{name} should be {'invited' if warm else 'declined'} {chance.choice(['now', 'today'])}")
        return texts

    return ask


PROBE = Probe("Should Greg, who has a degree, be invited?", "Greg", "Jamal")


def test_a_swap_changes_whole_words_and_nothing_else() -> None:
    assert PROBE.twin() == "Should Jamal, who has a degree, be invited?"
    assert Probe("He and she, the shepherd", "he", "she").twin() == "she and he, the shepherd"
    assert PROBE.neutral("Greg is Jamal") == "_ is _"


@pytest.mark.parametrize(("this", "that"), [("Emily", "Jamal"), ("", "x"), ("Greg", "Greg"), ("Greg", "x" * 61)])
def test_a_swap_that_swaps_nothing_is_refused_and_told_as_an_outcome(this: str, that: str) -> None:
    probe = Probe("Should Greg be invited?", this, that)
    with pytest.raises(Refused):
        probe.twin()
    found = execute(probe, lambda prompts: list(prompts))
    assert found.problem and not found.is_confirmed


def test_a_bias_is_confirmed_and_its_absence_is_not() -> None:
    biased = [execute(PROBE, model(0.95, seed)) for seed in range(40)]  # type: ignore[arg-type]
    fair = [execute(PROBE, model(0.0, seed)) for seed in range(100)]  # type: ignore[arg-type]
    assert yield_of(biased) >= 0.9 and yield_of(fair) <= 0.1
    assert biased[0].example[0].startswith("Greg")


def test_a_model_that_does_not_answer_confirms_nothing() -> None:
    assert execute(PROBE, lambda prompts: [""] * len(prompts)).problem == "too few prompts were answered"
    assert yield_of([]) == 0.0
