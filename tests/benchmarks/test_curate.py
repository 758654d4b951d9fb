from __future__ import annotations

from typing import Any

import pytest

from sharpen.benchmarks import curate, dedup, junk
from sharpen.errors import ConfigError


def test_the_benchmark_of_curation_tells_time_memory_and_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate, "_features", lambda seed: {})  # a model of its own, measured elsewhere
    figures: Any = curate.measure(sizes=(200, 400), processes=1)
    small, large = figures["runs"]
    assert (small["exchanges"], large["exchanges"]) == (200, 400)
    assert 0 < large["kept"] < 400
    assert {"duplicate", "near_duplicate", "personal", "injection"} <= large["dropped"].keys()
    assert figures["peak_rss_bytes"] > 50 << 20
    assert figures["growth"] > 0
    again: Any = curate.measure(sizes=(200,), processes=2)
    assert again["runs"][0]["digest"] == small["digest"]


def test_the_benchmark_of_deduplication_keeps_what_its_peer_and_all_pairs_keep() -> None:
    figures: Any = dedup.measure(texts=400, sample=200, rounds=1)
    assert figures["jaccard"] == figures["jaccard_with_exact"] == 1.0
    assert 250 < figures["kept"] < 400
    assert figures["ratio"] > 1


@pytest.mark.data
def test_planted_junk_is_found_as_promised() -> None:
    kinds: Any = junk.measure(seeds=(1,))["kinds"]
    assert kinds.keys() == junk.KINDS.keys()
    for kind, row in kinds.items():
        if row["promised"] is not None:
            assert row["recall"] >= row["promised"][0], kind
            assert row["precision"] >= row["promised"][1], kind
    assert kinds["held_out"]["recall"] == 1.0


def test_the_junk_benchmark_asks_for_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARPEN_DATA", raising=False)
    with pytest.raises(ConfigError, match="SHARPEN_DATA"):
        junk.measure()
