"""Labels that are probably wrong, where answers are labels.

In: candidates whose answers to learn are few and repeat. Out: those whose question speaks for another label. Must not
know who gave the label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sharpen.curation.candidate import Candidate, asked
from sharpen.curation.filters.verdicts import Reasons
from sharpen.plugins import part

_MOST, _FEWEST = 50, 10  # chosen: labels at most; examples of one label at least, two for each of five folds
_FOLDS = 5


def label_errors(batch: Sequence[Candidate]) -> Reasons:
    """Drop labels that confident learning finds wrong: another label is likelier, by cross-validated predictions.

    Answers that are free text are left alone. Source: Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating
    Uncertainty in Dataset Labels, JAIR 70, arXiv:1911.00068.
    """
    counts = Counter(one.chosen for one in batch if one.chosen is not None)
    known = {label for label, count in counts.items() if count >= _FEWEST}
    rows = [i for i, one in enumerate(batch) if one.chosen in known]
    reasons: Reasons = [None] * len(batch)
    if not 2 <= len(known) <= _MOST or len(rows) < 0.8 * sum(counts.values()):  # chosen: most answers are such labels
        return reasons
    names = sorted(str(label) for label in known)
    labels = np.array([names.index(str(batch[i].chosen)) for i in rows])
    chance = _predicted([asked(batch[i].prompt) for i in rows], labels)
    issues = part("cleanlab.filter").find_label_issues(labels, chance, filter_by="prune_by_noise_rate", n_jobs=1)
    for at in np.flatnonzero(issues):
        reasons[rows[at]] = f"reads like '{names[int(chance[at].argmax())][:40]}'"
    return reasons


def _predicted(texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Return each text's chance of each label (N, K), by a model that has not seen the text."""
    words = part("sklearn.feature_extraction.text").TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = part("sklearn.linear_model").LogisticRegression(C=10.0, max_iter=1000)
    folds = part("sklearn.model_selection").StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    pipeline = part("sklearn.pipeline").make_pipeline(words, model)
    predict = part("sklearn.model_selection").cross_val_predict
    return np.asarray(predict(pipeline, list(texts), labels, cv=folds, method="predict_proba"))
