from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.config import parse
from sharpen.training.job import Job, resolve, write_json


@pytest.mark.parametrize(
    ("parameters", "rank", "rate"), [(135_000_000, 16, 1e-3), (7_000_000_000, 16, 2e-4), (70_000_000_000, 32, 1e-4)]
)
def test_the_size_of_the_base_sets_what_the_configuration_leaves_open(parameters: int, rank: int, rate: float) -> None:
    recipe = resolve(parse({}), "sft", parameters, 3)
    assert (recipe.rank, recipe.alpha, recipe.learning_rate, recipe.seed) == (rank, 2 * rank, rate, 3)
    assert resolve(parse({}), "dpo", parameters, 3).learning_rate == pytest.approx(rate / 10)


def test_what_is_configured_wins() -> None:
    settings = {"rank": 4, "learning_rate": 0.5, "epochs": 2.5, "batch": 3, "max_length": 99, "beta": 0.3}
    recipe = resolve(parse({"training": settings, "models": {"threads": 2}}), "dpo", 10, 0)
    assert recipe.model_dump(include=set(settings)) == settings
    assert (recipe.alpha, recipe.threads) == (8, 2)


def test_a_job_survives_its_file_and_leaves_no_scratch(tmp_path: Path) -> None:
    job = Job(base=tmp_path, base_digest="b", rows=tmp_path, adapters=tmp_path, recipe=resolve(parse({}), "sft", 10, 0))
    write_json(tmp_path / "job.json", job)
    assert Job.model_validate_json((tmp_path / "job.json").read_text()) == job
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
