from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from tests.scripted_judge import ScriptedJudge, make_gold

from sharpen.config import EvaluationSection
from sharpen.errors import ConfigError
from sharpen.store import Store
from sharpen.verify.equipment import equip
from sharpen.verify.judge_trials import try_judge
from sharpen.verify.judges import open_judge
from sharpen.verify.scorers import find_scorer, registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_scorers", dict(registry._scorers))


def nobody() -> object:
    raise AssertionError("the engine was not asked for")


def test_only_a_judge_that_was_measured_with_its_rubric_becomes_a_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("their_judges")
    module.fair = ScriptedJudge()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_judges", module)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    settings = EvaluationSection(judge="their_judges:fair")
    assert len(equip(settings, store, own=nobody)) == 5  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no scorer 'safety'"):
        find_scorer("safety")
    try_judge(open_judge(settings.judge, "safety", own=nobody), make_gold(60), store)  # type: ignore[arg-type]
    for _ in range(2):
        refused = equip(settings, store, own=nobody)  # type: ignore[arg-type]
    assert "safety" not in refused
    assert "never measured" in refused["helpfulness"]
    assert (find_scorer("safety")("worth=100", "") or 0) > 0.6
    store.close()


def test_an_embedding_model_becomes_similarity_and_nothing_configured_is_nothing_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {name: one for name, one in registry._scorers.items() if name != "similarity"}
    monkeypatch.setattr(registry, "_scorers", plain)  # another test may have registered one
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    assert equip(EvaluationSection(), store, own=nobody) == {}  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        find_scorer("similarity")
    equip(EvaluationSection(), store, own=nobody, embeddings=lambda: DeterministicFakeEmbedding(size=8))  # type: ignore[arg-type]
    assert find_scorer("similarity")("the same", "the same") == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="no metric script"):
        equip(EvaluationSection(toxicity="toxicity"), store, own=nobody)  # type: ignore[arg-type]
    store.close()
