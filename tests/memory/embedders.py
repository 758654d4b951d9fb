"""Embedders of the tests: fast, without weights, the same vectors every time."""

from __future__ import annotations

import hashlib

import numpy as np

from sharpen.memory.words import words


class WordEmbedder:
    """A text is the sum of its words' random directions: texts that share words are near each other."""

    key = "words"
    dimension = 64

    def embed_query(self, text: str) -> list[float]:
        total = np.zeros(self.dimension)
        for word in words(text):
            seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        vector: list[float] = (total / np.linalg.norm(total)).tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class RowEmbedder:
    """The text "row 17" is row 17 of a matrix: vectors that are given, not computed."""

    key = "rows"

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        self.dimension = matrix.shape[1]

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self.matrix[int(text.split()[1])].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]
