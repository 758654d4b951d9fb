"""What is measured is measured once, of the same sample, and by the models that it is said to be measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.curation.candidates import candidate

from sharpen.config import CurationSection
from sharpen.curation.bundle import read_bundle, read_features, write_bundle
from sharpen.curation.feature_cache import FeatureCache
from sharpen.curation.features import Base, Features, measure, quality
from sharpen.curation.plan import Plan
from sharpen.curation.selection import Selection
from sharpen.memory.words import words

ALL = ("length", "quality", "perplexity", "cluster")


class TwoTopics:
    """An embedder that knows two topics, and counts what it was asked."""

    key = "topics"
    dimension = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        return [[1.0, 0.0] if "parcel" in text else [0.0, 1.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def rows(count: int) -> list[Any]:
    return [candidate(f"{'parcel' if i % 3 else 'refund'} {i}", f"shipping {i} it is") for i in range(count)]


def test_the_perplexity_is_that_of_the_base_itself(tiny_base: Path, tmp_path: Path) -> None:
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.records import Message

    engine = TransformersEngine(tiny_base)
    try:
        engine.load("base", None)
        base = Base(engine.base_digest, lambda prompts, answers: engine.logprobs(prompts, answers, "base"))
        some = [*rows(3), candidate("z", None, "only wrong")]
        found = measure(some, ["perplexity"], 10, FeatureCache(tmp_path / "f.db"), base=lambda: base)
        prompt = (Message(role="user", content="refund 0"),)
        [[told]] = engine.logprobs([prompt], [[str(some[0].chosen)]], "base")
    finally:
        engine.close()
    expected = math.exp(-told / len(words(str(some[0].chosen))))
    assert found.columns["perplexity"][0] == pytest.approx(expected, rel=1e-6)
    assert found.columns["perplexity"][3] is None, "there is no answer to learn"


def test_nothing_is_measured_twice_and_more_data_measures_only_what_is_new(tmp_path: Path) -> None:
    cache, embedder, read = FeatureCache(tmp_path / "f.db"), TwoTopics(), list[str]()

    def logprobs(prompts: Any, answers: Any) -> list[list[float]]:
        read.extend(one[0] for one in answers)
        return [[-3.0] for _ in answers]

    def look(some: Sequence[Any], sample: int = 60) -> Features:
        return measure(some, ALL, sample, cache, embedding=lambda: embedder, base=lambda: Base("b", logprobs))

    first = look(rows(60))
    again = look(rows(60))
    assert again.columns == first.columns
    assert [cost["measured"] for cost in again.costs.values()] == [0, 0, 0, 0]
    assert (len(embedder.asked), len(read)) == (60, 60)
    assert first.columns["length"] == [4.0] * 60
    clusters = first.columns["cluster"]
    assert len({label for label, i in zip(clusters, range(60), strict=True) if i % 3}) == 1
    assert first.summary()["cluster"] == {"0": 40, "1": 20}
    assert first.summary()["perplexity"]["p50"] == pytest.approx(math.exp(3 / 4), abs=1e-4)
    more = look(rows(90))
    assert {cost["measured"] for cost in more.costs.values()} <= set(range(31))
    assert len(read) <= 90


def test_what_is_not_there_any_more_leaves_the_cache(tmp_path: Path) -> None:
    cache, embedder = FeatureCache(tmp_path / "f.db"), TwoTopics()
    measure(rows(60), ["cluster"], 60, cache, embedding=lambda: embedder)
    measure(rows(60)[1:], ["cluster"], 60, cache, embedding=lambda: embedder)
    assert len(embedder.asked) == 60
    measure(rows(60), ["cluster"], 60, cache, embedding=lambda: embedder)
    assert embedder.asked[60:] == ["refund 0"], "what was erased in between is measured anew"


def test_a_run_that_ends_on_the_way_keeps_what_it_measured(tmp_path: Path) -> None:
    calls: list[int] = []

    def logprobs(prompts: Any, answers: Any) -> list[list[float]]:
        calls.append(len(answers))
        if len(calls) == 2:
            raise RuntimeError("the engine died")
        return [[-1.0] for _ in answers]

    base, cache = Base("b", logprobs), FeatureCache(tmp_path / "f.db")
    with pytest.raises(RuntimeError, match="died"):
        measure(rows(50), ["perplexity"], 50, cache, base=lambda: base)
    found = measure(rows(50), ["perplexity"], 50, cache, base=lambda: base)
    assert found.costs["perplexity"]["cached"] == 32
    assert calls == [32, 18, 18]


def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    path.write_bytes(b"this is no database at all" * 100)
    for _ in range(2):
        assert measure(rows(5), ["length"], 5, FeatureCache(path)).columns["length"] == [4.0] * 5
    assert measure(rows(5), ["length"], 5, FeatureCache(path)).costs["length"]["cached"] == 5


def test_clean_text_has_every_sign_and_junk_lacks_some() -> None:
    assert quality("Your parcel is on its way and will come on Monday. Thank you for waiting so long.") == 1.0
    assert quality("") == 0.0
    assert quality("# # # ... ### !!! ??? --- *** ((( ))) ;;;") < 0.7
    assert quality("\n".join(["buy now"] * 20)) < 0.9


def test_features_lie_beside_the_rows_and_are_verified(tmp_path: Path) -> None:
    some = rows(5)
    found = measure(some, ["length", "quality"], 3, FeatureCache(tmp_path / "f.db"))
    plan = Plan.of(CurationSection(), (), 0)
    write_bundle(str(tmp_path), "snp_1", Selection(some, list(range(5)), []), plan, features=found)
    manifest, _ = read_bundle(str(tmp_path), "snp_1")
    assert manifest["features"]["costs"].keys() == {"length", "quality"}
    table = read_features(str(tmp_path), "snp_1")
    assert table.column_names == ["place", "length", "quality"]
    assert table["place"].to_pylist() == found.places
    assert len(table) == 3
