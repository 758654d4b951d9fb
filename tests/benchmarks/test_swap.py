from __future__ import annotations

import pytest

from sharpen.benchmarks import swap


@pytest.mark.slow
def test_swaps_under_load_lose_nothing_and_mix_nothing() -> None:
    figures = swap.measure(swaps=4, users=6)
    assert (figures["swaps"], figures["failed"], figures["wrong_version"]) == (4, 0, 0), figures["faults"]
    assert sum(figures["answers_by_version"].values()) == figures["answered"] > 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_answer_of_another_version_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = swap._expected

    def exchanged(*arguments: object) -> swap.Expected:
        told = honest(*arguments)  # type: ignore[arg-type]
        one, other = swap.VERSIONS[:2]
        turned = {one: other, other: one}
        return {(version, prompt): told[turned.get(version, version), prompt] for version, prompt in told}

    monkeypatch.setattr(swap, "_expected", exchanged)
    assert swap.measure(swaps=1, users=3)["wrong_version"] > 0  # type: ignore[operator]
