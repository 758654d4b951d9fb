from __future__ import annotations

import pytest

from sharpen.benchmarks import scoring


def test_the_ratio_is_of_what_was_measured_and_every_scorer_is_shown() -> None:
    figures = scoring.measure(rounds=1, cases=8, gate_cases=200)
    model, bare, ours = (float(str(figures[f"{name}_ms_per_case"])) for name in ("model", "scorer", "ours"))
    assert ours > bare
    assert float(str(figures["ratio"])) == pytest.approx((model + ours) / (model + bare), abs=0.01)
    assert set(figures["without_model_us"]) == {name for name, *_ in scoring.SCORERS}  # type: ignore[call-overload]
    gate = figures["gate"]
    assert isinstance(gate, dict)
    assert (gate["cases"], gate["versions"], gate["scorers"]) == (200, 4, 5)
    assert gate["comparisons"] > 10
    assert 0 < gate["seconds"] < gate["promised_seconds"]
