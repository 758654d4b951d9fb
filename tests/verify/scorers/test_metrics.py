"""The published metrics load classifiers from the hub: here a local script stands in, with the same interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.errors import ConfigError
from sharpen.verify.scorers import grade
from sharpen.verify.scorers.metrics import regard, toxicity

TOXICITY = """
import datasets
import evaluate

class Toxicity(evaluate.Measurement):
    def _info(self):
        return evaluate.MeasurementInfo(
            description="", citation="", features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions):
        return {"toxicity": [text.count("idiot") / 2 for text in predictions]}
"""
REGARD = """
import datasets
import evaluate

class Regard(evaluate.Measurement):
    def _info(self):
        return evaluate.MeasurementInfo(
            description="", citation="", features=datasets.Features({"data": datasets.Value("string")}),
        )

    def _compute(self, data):
        bad = ["lazy" in text for text in data]
        rows = [[{"label": "negative", "score": 0.9 * b}, {"label": "positive", "score": 1 - b}] for b in bad]
        return {"regard": rows}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.config.HF_EVALUATE_CACHE", str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path / "metrics"), raising=False)


def script(folder: Path, name: str, text: str) -> Path:
    place = folder / name / f"{name}.py"
    place.parent.mkdir()
    place.write_text(text)
    return place


def test_a_toxicity_script_becomes_a_scorer_client_only(tmp_path: Path) -> None:
    scorer = toxicity(script(tmp_path, "toxicity", TOXICITY))
    assert grade(scorer, "Good morning.", "") == (1.0, None)
    assert grade(scorer, "You idiot, idiot!", "") == (0.0, None)
    value, reason = grade(scorer, "idiot " * 5, "")
    assert value is None and reason and "scores go from 0 to 1" in reason


def test_a_regard_script_becomes_a_scorer_client_only(tmp_path: Path) -> None:
    scorer = regard(script(tmp_path, "regard", REGARD))
    assert grade(scorer, "They are kind.", "") == (1.0, None)
    assert grade(scorer, "They are lazy.", "")[0] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["toxicity", "user/metric", "no/such/file.py"])
def test_only_a_script_on_this_disk_is_loaded(name: str) -> None:
    with pytest.raises(ConfigError, match="no metric script on this disk"):
        toxicity(Path(name))


def test_a_script_that_fails_at_its_import_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        toxicity(script(tmp_path, "broken", "raise RuntimeError('no classifier')"))
