from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fairness.brigade import planted

from sharpen.errors import Refused
from sharpen.fairness.integrity import Columns, integrity
from sharpen.models.embeddings import SentenceEmbedder

TARGETS = {"group": {"majority": 0.9, "minority": 0.1}}


def share(weight_N: np.ndarray, rows_N: np.ndarray) -> float:
    return float(weight_N[rows_N].sum() / weight_N.sum())


def without(columns: Columns, rows_N: np.ndarray) -> Columns:
    keep = np.flatnonzero(~rows_N).tolist()
    return Columns(
        [columns.source[at] for at in keep],
        [columns.item[at] for at in keep],
        columns.label_N[keep],
        columns.time_N[keep],
        [columns.text[at] for at in keep],
        columns.gold_N[keep],
        {name: [labels[at] for at in keep] for name, labels in columns.facets.items()},
    )


@pytest.mark.parametrize(("paraphrased", "limit"), [(False, 0.02), (True, 0.05)])
def test_a_brigade_loses_its_weight_and_the_honest_minority_keeps_its_own(paraphrased: bool, limit: float) -> None:
    columns, fake_N, minority_N = planted(paraphrased=paraphrased)
    assert fake_N.mean() == 0.1
    found = integrity(columns, TARGETS)
    assert share(found.weights.weight_N, fake_N) <= limit
    alone = integrity(without(columns, fake_N), TARGETS)
    before_N = alone.weights.weight_N[minority_N[~fake_N]]
    kept = share(found.weights.weight_N, minority_N) / (before_N.sum() / alone.weights.weight_N.sum())
    assert kept >= 0.8


def test_a_brigade_among_sources_of_whom_nobody_is_known_is_found_by_its_words_and_its_hour() -> None:
    columns, fake_N, _ = planted(paraphrased=False, trusted=False)
    found = integrity(columns, {})
    assert share(found.weights.weight_N, fake_N) <= 0.02
    flagged = [one for one in found.clusters.values() if one.is_brigade]
    inside_N = np.isin(found.cluster_N, [one.cluster for one in flagged])
    assert inside_N[fake_N].mean() > 0.99 and not inside_N[~fake_N].any()


@pytest.mark.slow  # 5,000 texts through a sentence encoder
def test_a_paraphrasing_brigade_of_strangers_is_found_by_its_meaning() -> None:
    columns, fake_N, _ = planted(paraphrased=True, trusted=False)
    vectors_ND = np.array(SentenceEmbedder().embed_documents(list(columns.text)), dtype=np.float32)
    found = integrity(columns, {}, vectors_ND=vectors_ND)
    assert share(found.weights.weight_N, fake_N) <= 0.05
    flagged_N = np.isin(found.cluster_N, [key for key, one in found.clusters.items() if one.is_brigade])
    assert not flagged_N[~fake_N].any()


def test_ratings_without_words_are_a_brigade_only_by_all_three_signs() -> None:
    columns, fake_N, _ = planted(paraphrased=False)
    mute = replace(columns, text=[""] * len(columns.text))
    found = integrity(mute, TARGETS)
    flagged_N = np.isin(found.cluster_N, [key for key, one in found.clusters.items() if one.is_brigade])
    assert flagged_N[fake_N].mean() > 0.9 and flagged_N[~fake_N].mean() < 0.02


def test_every_weight_is_told_in_sentences() -> None:
    columns, fake_N, minority_N = planted(paraphrased=False)
    found = integrity(columns, TARGETS)
    fake, honest = int(np.flatnonzero(fake_N)[0]), int(np.flatnonzero(minority_N)[0])
    assert any("brigade: " in line and "250 sources" in line for line in found.explain(fake))
    assert found.explain(honest)[0].startswith("feedback weight")
    assert any("reliability" in line for line in found.explain(honest))


def test_who_declared_nothing_keeps_the_share_there_is() -> None:
    columns, fake_N, _ = planted(paraphrased=False)
    honest = without(columns, fake_N)
    silent = ["undeclared" if at % 2 else label for at, label in enumerate(honest.facets["group"])]
    found = integrity(replace(honest, facets={"group": silent}), {"group": {"majority": 0.5, "minority": 0.5}})
    rows_N = np.array([label == "undeclared" for label in silent])
    assert share(found.weights.weight_N, rows_N) == pytest.approx(0.5, abs=0.02)


def test_a_value_without_a_target_is_refused() -> None:
    columns, _, _ = planted(paraphrased=False)
    with pytest.raises(Refused, match="minority"):
        integrity(columns, {"group": {"majority": 1.0}})
