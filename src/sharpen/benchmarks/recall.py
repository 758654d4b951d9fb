"""Recall from 100,000 memories: the default vector store against bare hnswlib, on the same vectors, at equal recall.

In: nothing. Out: seconds per search (median and 95th percentile), recall@10 against exact search, and the ratio of
hnswlib's median time to ours. Must not know who reads them.

The promise is a 95th percentile under 50 ms. The ratio says what the store's own work costs: hnswlib holds vectors in
memory and nothing else, while a store looks up ids and metadata in a file, which is why its ratio is far below 1. Both
answer the same questions one by one, in turns, with one thread, and hnswlib's search width is the smallest at which its
recall reaches ours.

The vectors are drawn around centres, as embeddings of what people ask are. Uniform random vectors of 384 dimensions are
all about equally far from each other: there, "nearest" is noise and recall says nothing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from sharpen.benchmarks import machine
from sharpen.config import Config
from sharpen.memory.vectors import Entry, VectorIndex
from sharpen.plugins import part

ROWS, DIMENSION, QUERIES, K = 100_000, 384, 500, 10
PROMISE_S = 0.050
CENTRES = 1_000  # chosen: a hundred memories on each topic
SPREAD = 0.6  # chosen: rows of one topic have a cosine of about 0.7, as paraphrases do under MiniLM
_WIDTHS = (10, 16, 24, 32, 48, 64, 100, 150, 200, 300, 500, 1000)
_ROWS_AT_ONCE = 5_000


class _Given:
    """An embedder of vectors that are there: the text "row 17" is row 17."""

    key = "given"

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix = matrix
        self.dimension = int(matrix.shape[1])

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._matrix[int(text.split()[1])].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def measure(rows: int = ROWS, queries: int = QUERIES, seed: int = 0) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra, StoreError."""
    matrix = _clustered(rows + queries, seed)
    kept, asked = matrix[:rows], matrix[rows:]
    exact = [set(np.argsort(-(kept @ one), kind="stable")[:K].tolist()) for one in asked]
    with tempfile.TemporaryDirectory() as folder:
        index = VectorIndex.of(Config(home=Path(folder)), _Given(matrix))
        started = time.perf_counter()
        for start in range(0, rows, _ROWS_AT_ONCE):
            names = range(start, min(start + _ROWS_AT_ONCE, rows))
            index.upsert([Entry(str(i), f"row {i}", "example") for i in names])
        built_s = time.perf_counter() - started
        peer = part("hnswlib").Index("cosine", DIMENSION)
        # The same graph as the store builds: see _HNSW in memory/stores/chroma.py.
        peer.init_index(rows, ef_construction=100, M=16, random_seed=seed)
        started = time.perf_counter()
        peer.add_items(kept)
        peer_built_s = time.perf_counter() - started
        peer.set_num_threads(1)

        def ours(i: int) -> set[int]:
            return {int(hit.id) for hit in index.search(f"row {rows + i}", K)}

        def theirs(i: int) -> set[int]:
            labels, _ = peer.knn_query(asked[i], k=K)
            return set(labels[0].tolist())

        for i in range(min(20, queries)):  # both have been warm once before the clock starts
            ours(i)
        recall = _recall([ours(i) for i in range(queries)], exact)
        width, peer_recall = 0, 0.0
        for width in _WIDTHS:
            peer.set_ef(width)
            peer_recall = _recall([theirs(i) for i in range(queries)], exact)
            if peer_recall >= recall:
                break
        ours_s, theirs_s = [], []
        for i in range(queries):
            started = time.perf_counter()
            ours(i)
            between = time.perf_counter()
            theirs(i)
            ours_s.append(between - started)
            theirs_s.append(time.perf_counter() - between)
        index.close()
    return {
        "benchmark": "recall",
        "store": "chroma",
        "rows": rows,
        "dimension": DIMENSION,
        "queries": queries,
        "p50_s": round(float(np.percentile(ours_s, 50)), 5),
        "p95_s": round(float(np.percentile(ours_s, 95)), 5),
        "promised_p95_s": PROMISE_S,
        "recall_at_10": round(recall, 4),
        "hnswlib_p50_s": round(float(np.percentile(theirs_s, 50)), 6),
        "hnswlib_p95_s": round(float(np.percentile(theirs_s, 95)), 6),
        "hnswlib_recall_at_10": round(peer_recall, 4),
        "hnswlib_ef": width,
        "ratio": round(float(np.median(theirs_s) / np.median(ours_s)), 4),
        "build_s": round(built_s, 1),
        "hnswlib_build_s": round(peer_built_s, 1),
        "machine": machine("chromadb", "hnswlib", "numpy"),
    }


def _clustered(count: int, seed: int) -> np.ndarray:
    """Return unit vectors (N, D) around random centres; the size of a topic follows no order."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((CENTRES, DIMENSION), dtype=np.float32)
    rows = chance.standard_normal((count, DIMENSION), dtype=np.float32)
    rows *= SPREAD
    rows += centres[chance.integers(CENTRES, size=count)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _recall(found: list[set[int]], exact: list[set[int]]) -> float:
    return sum(len(one & right) for one, right in zip(found, exact, strict=True)) / (K * len(exact))
