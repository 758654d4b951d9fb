from __future__ import annotations

import numpy as np
import pytest

from sharpen.fairness.alike import clusters, sizes


def test_the_same_words_are_one_cluster_and_short_texts_are_nobody_s_copy() -> None:
    texts = ["very good", "very good", "please cite the page of the law", "Please cite the page of the law!", "", ""]
    found = clusters(texts)
    assert found[2] == found[3] and len(set(found.tolist())) == 5
    assert sizes(found).tolist() == [1, 1, 2, 2, 1, 1]


def test_nearly_the_same_words_are_one_cluster_and_others_are_not() -> None:
    base = "the answer should name the law and the page where it stands and the date"
    texts = [
        base,
        f"{base} please",
        f"well {base}",
        "the answer is fine but the second table lacks all of its units today",
    ]
    found = clusters(texts)
    assert found[0] == found[1] == found[2] != found[3]


@pytest.mark.parametrize("count", [300, 21_000])
def test_the_same_meaning_is_found_by_exact_and_by_hashed_search(count: int) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((count, 32)).astype(np.float32)
    vectors[:50] = vectors[0] + 0.25 * random.standard_normal((50, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"words {at} of {at * 7} nobody {at * 13} repeats {at * 17}" for at in range(count)]
    found = clusters(texts, vectors)
    assert sizes(found)[:50].min() == 50 and sizes(found)[50:].max() <= 2


def test_vectors_of_other_texts_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 vectors of 2"):
        clusters(["a", "b"], np.ones((1, 2)))
