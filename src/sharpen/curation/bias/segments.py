"""Segments that hardly anybody annotates, and segments that the model answers worse.

In: exchanges. Out: findings. Must not know what a facet means.

Each segment is compared with all exchanges by a Wilson interval, at a level that all segments share (Bonferroni).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from sharpen.curation.bias.findings import ALPHA, LEAST, Finding
from sharpen.curation.bias.rows import Row
from sharpen.errors import MissingExtra
from sharpen.plugins import part
from sharpen.stats.intervals import wilson

TOPICS, FEWEST = 8, 200  # chosen: clusters of questions, and the questions below which clusters are noise
_ANNOTATED = 0.5  # chosen: a segment with under half of the usual share of annotations is left alone by those who judge
_WORSE = 0.1  # chosen: share of right answers that a segment may lack
_NAMED = 3  # words that name a topic


def under_annotated(rows: Sequence[Row]) -> list[Finding]:
    """Return the segments of which surely less than half as large a share is annotated as of all."""
    shares = _shares(rows, lambda row: row.is_annotated)
    return [one._replace(check="under-annotated") for one in shares if one.high < _ANNOTATED * one.expected]


def weak(rows: Sequence[Row]) -> list[Finding]:
    """Return the segments in which surely fewer answers are right than in all, by a tenth of all answers or more."""
    shares = _shares([row for row in rows if row.went_well is not None], lambda row: bool(row.went_well))
    return [one._replace(check="weak segment") for one in shares if one.high < one.expected - _WORSE]


def _shares(rows: Sequence[Row], counts: Callable[[Row], bool]) -> list[Finding]:
    inside: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        for place in row.facets.items():
            inside[place].append(counts(row))
    looked_at = {place: found for place, found in inside.items() if LEAST <= len(found) < len(rows)}
    if not looked_at:
        return []
    overall = sum(map(counts, rows)) / len(rows)
    shares = []
    for (facet, segment), found in sorted(looked_at.items()):
        known = wilson(sum(found), len(found), 1 - ALPHA / len(looked_at))
        shares.append(Finding("", facet, segment, known.value, overall, known.low, known.high, len(found)))
    return shares


def with_topics(rows: Sequence[Row]) -> tuple[list[Row], str | None]:
    """Return the rows with a topic each, by k-means on TF-IDF of their questions; and why there is none, if so.

    A topic is named by the words nearest to its centre; words of fewer than 20 questions, which may be names, are not
    looked at. The same rows give the same topics.
    """
    if len(rows) < FEWEST:
        return list(rows), f"topics need {FEWEST} exchanges; there are {len(rows)}"
    try:
        make = part("sklearn.feature_extraction.text").TfidfVectorizer
        cluster = part("sklearn.cluster").MiniBatchKMeans
    except MissingExtra as missing:
        return list(rows), f"topics need scikit-learn: {missing.next_step}"
    vectors = make(max_features=5000, sublinear_tf=True, min_df=LEAST, stop_words="english")
    try:
        texts_NV = vectors.fit_transform([row.question for row in rows])
    except ValueError:  # nothing is left
        return list(rows), f"no word is in {LEAST} questions"
    model = cluster(n_clusters=TOPICS, random_state=0, n_init=3, batch_size=1024).fit(texts_NV)
    names = vectors.get_feature_names_out()
    topics = [" ".join(names[place] for place in (-centre).argsort()[:_NAMED]) for centre in model.cluster_centers_]
    told = zip(rows, model.labels_.tolist(), strict=True)
    return [row._replace(facets={**row.facets, "topic": topics[label]}) for row, label in told], None
