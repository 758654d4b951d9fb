"""A model of two thin layers, and a maker of jobs on it: a constrained step costs milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharpen.benchmarks.constraints import cases, rated, texts
from sharpen.config import FairnessSection
from sharpen.testing import tiny_model
from sharpen.training.job import Job, Recipe


@pytest.fixture(scope="session")
def thin_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("thin") / "tiny", texts=texts(), width=64, layers=2)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Return twelve twin pairs as the planted raters label them, with the groups' names."""
    return rated(cases(12, 0)[0], 0)


Maker = Callable[..., Any]


@pytest.fixture
def make(thin_base: Path, tmp_path: Path) -> Maker:
    """Return a maker of trainers: rows, method, fairness settings, recipe fields."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sharpen.training.constraints import building

    def build(rows: list[dict[str, Any]], method: str = "dpo", fairness: Any = None, **more: Any) -> Any:
        fields = {"epochs": 1, "rank": 4, "alpha": 8, "learning_rate": 1e-2, "batch": 4, "max_length": 64, "beta": 0.3}
        recipe = Recipe.model_validate(
            fields | {"method": method, "seed": 0, "threads": 1, "fairness": FairnessSection(**(fairness or {}))} | more
        )
        job = Job(base=thin_base, base_digest="", rows=tmp_path / "rows", adapters=tmp_path, recipe=recipe)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(thin_base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(thin_base)
        return building.build(job, model, tokenizer, rows, str(tmp_path / "scratch"))

    return build
