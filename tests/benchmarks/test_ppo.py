from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.benchmarks import ppo
from sharpen.benchmarks.ppo import toy
from sharpen.errors import BoundaryError


def test_ours_learns_the_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "ITERATIONS", 4)
    curves = ppo.ours(toy.toy_base(tmp_path), 0, tmp_path)
    assert len(curves["reward"]) == len(curves["kl"]) == 4
    assert curves["reward"][-1] > curves["reward"][0] + 0.1
    assert curves["kl"][0] == pytest.approx(0, abs=1e-4) and curves["kl"][-1] > 0.1


def test_the_summary_pairs_both_by_seed() -> None:
    def run(seed: int, ours: float, trl: float) -> dict[str, object]:
        return {"seed": seed} | {
            name: {"reward": [0.5, end, end, end], "kl": [0.0, 1.0]} for name, end in (("ours", ours), ("trl", trl))
        }

    found = ppo.summary([run(0, 0.9, 0.8), run(1, 0.7, 0.8), run(2, 0.8, 0.8)])
    assert found["ours"] == {"start": 0.5, "end": 0.8, "kl": 1.0} and found["trl"]["end"] == 0.8
    assert found["difference"]["value"] == 0 and found["difference"]["low"] < 0 < found["difference"]["high"]


def test_a_peer_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "trl").mkdir()
    (tmp_path / "trl" / "__init__.py").write_text("raise RuntimeError('not this one')")
    with pytest.raises(BoundaryError, match="not this one"):
        ppo.trl(tmp_path, 0, [str(tmp_path)])


def test_the_reward_is_the_share_of_plain_letters() -> None:
    assert [toy.reward(text) for text in ("ab", "é", " aé ", "")] == [1.0, 0.0, 0.5, 0.0]


@pytest.mark.slow
def test_trls_last_ppo_and_ours_end_alike() -> None:
    figures = ppo.measure(seeds=2)
    assert figures["ours"]["end"] > figures["ours"]["start"] + 0.1  # type: ignore[index]
    assert figures["trl"]["end"] > figures["trl"]["start"] + 0.1  # type: ignore[index]
    assert figures["difference"]["value"] > -0.1  # type: ignore[index]
