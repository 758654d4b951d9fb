from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import check_of, record
from tests.training.methods.conftest import METHODS, QUESTIONS, RIGHT, WRONG

from sharpen.config import ModelsSection
from sharpen.models.adapters import is_whole
from sharpen.models.engine import Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message, Method
from sharpen.training.methods import builder
from sharpen.training.rows import ON_POLICY


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, record_property: Any) -> Method:
    record(record_property, table="training methods", part=request.param, check=check_of(request), how="in process")
    found: Method = request.param
    return found


@pytest.fixture(scope="module")
def engine(toy_base: Path) -> TransformersEngine:
    engine = TransformersEngine(toy_base, ModelsSection(threads=1))
    engine.load("base", None)
    return engine


def margins(engine: TransformersEngine, version: str) -> list[float]:
    prompts = [[Message(role="user", content=question)] for question in QUESTIONS]
    return [right - wrong for right, wrong in engine.logprobs(prompts, [[RIGHT, WRONG]] * len(prompts), version)]


def test_it_learns_what_it_is_shown(method: Method, run: Callable[..., Any], engine: TransformersEngine) -> None:
    made = run(method)
    if method in ON_POLICY:
        assert made.result.metrics["last_reward"] > made.result.metrics["first_reward"] + 0.1
        return
    engine.load(f"{method}-learned", made.adapter)
    gains = [
        after - before
        for before, after in zip(margins(engine, "base"), margins(engine, f"{method}-learned"), strict=True)
    ]
    assert min(gains) > 1


def test_the_same_seed_gives_the_same_adapter(method: Method, run: Callable[..., Any]) -> None:
    assert run(method).result.adapter_digest == run(method, turn=2).result.adapter_digest


def test_progress_is_told_to_the_end(method: Method, run: Callable[..., Any]) -> None:
    told = run(method).told
    assert [one["step"] for one in told] == [*range(1, told[-1]["of"] + 1)]
    assert run(method).result.metrics["steps"] == told[-1]["of"]


def test_the_engine_loads_what_it_made(method: Method, run: Callable[..., Any], engine: TransformersEngine) -> None:
    made = run(method)
    assert is_whole(made.adapter)
    assert {file.name for file in made.adapter.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    engine.load(method, made.adapter)
    requests = [Request([Message(role="user", content=question)], 4) for question in QUESTIONS]
    changed, fresh = engine.generate(requests, method), engine.generate(requests, "base")
    assert all(answer.error is None for answer in changed)
    assert [answer.text for answer in changed] != [answer.text for answer in fresh]


def test_every_method_of_the_configuration_has_a_file() -> None:
    for method in METHODS:
        assert callable(builder(method))
