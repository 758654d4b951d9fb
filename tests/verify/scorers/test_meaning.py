from __future__ import annotations

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from sharpen.verify.scorers import grade
from sharpen.verify.scorers.meaning import similarity


class Letters(Embeddings):
    """Counts of a, b and c: enough of a meaning for a cosine."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "abc"] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.mark.parametrize(("reply", "value"), [("aab", 1.0), ("c", 0.0), ("a", 0.894), ("", 0.0)])
def test_similarity_is_the_cosine(reply: str, value: float) -> None:
    scored, reason = grade(similarity(Letters), reply, "aab")
    assert scored == pytest.approx(value, abs=1e-3)
    assert reason is None


def test_an_empty_vector_is_unscored_and_not_zero() -> None:
    value, reason = grade(similarity(Letters), "xyz", "aab")
    assert value is None and reason and "empty or not finite" in reason


def test_any_langchain_embeddings_will_do_and_opposite_meanings_are_zero() -> None:
    value, _ = grade(similarity(lambda: DeterministicFakeEmbedding(size=16)), "left", "right")
    assert value is not None and 0 <= value <= 1
