"""Who is in a training set: how many people of each group, how much each weighs, and how they are answered.

In: examples with their facets. Out: a make-up that names no small group, and findings. Must not know how a group came
to be known.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from sharpen.curation.bias.findings import ALPHA, LEAST, Finding
from sharpen.curation.bias.rows import GROUP, MENTION, Row
from sharpen.memory.words import words
from sharpen.stats.intervals import quantile, wilson

Tone = Callable[[Sequence[str]], Sequence[float]]  # scores of texts, -1 (bad) to 1 (good)

_FAIR = 0.8  # Source: the four-fifths rule, 29 CFR 1607.4 D (1978)
_TONE = 0.1  # chosen: a twentieth of the way from worst to best
_PRIOR = 500.0  # chosen: rows that the prior counts as; words of a few rows do not outrun it
_MARKERS = 5  # chosen: words per group that a page has room for


def make_up(rows: Sequence[Row]) -> dict[str, dict[str, int | str]]:
    """Return, per axis that people declared, how many people are in each group; small groups are not told.

    Groups of fewer than 20 people are suppressed; where that is one group alone, the next larger one is too, or the
    total would tell it. Source: Sweeney 2002, k-Anonymity; complementary suppression as in official statistics.
    """
    axes: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row.person is not None:
            for facet, label in row.facets.items():
                if facet.startswith(GROUP):
                    axes[facet.removeprefix(GROUP)][label].add(row.person)
    told: dict[str, dict[str, int | str]] = {}
    for axis, people in sorted(axes.items()):
        counts = {label: len(names) for label, names in sorted(people.items())}
        small = {label for label, count in counts.items() if count < LEAST}
        if len(small) == 1 and len(counts) > 1:
            small.add(min(counts.keys() - small, key=lambda label: (counts[label], label)))
        told[axis] = {label: f"under {LEAST}, or suppressed" if label in small else counts[label] for label in counts}
    return told


def unbalanced(rows: Sequence[Row]) -> list[Finding]:
    """Return the groups whose share of the examples is surely under four fifths of their share of the people.

    Weights count: a row of weight 2 is two rows of the group, of as many as there are.
    """
    inside = _by_segment(rows, GROUP)
    found = []
    axes = Counter(facet for facet, _ in inside)
    for (facet, segment), own in inside.items():
        people = {row.person for row in own}
        if axes[facet] < 2 or len(people) < LEAST:
            continue
        axis = [row for row in rows if facet in row.facets]
        expected = len(people) / len({row.person for row in axis})
        weight = math.fsum(row.weight for row in own) / math.fsum(row.weight for row in axis)
        known = wilson(min(len(axis), round(weight * len(axis))), len(axis), 1 - ALPHA / len(inside))
        if known.high < _FAIR * expected:
            found.append(
                Finding("under-represented", facet, segment, weight, expected, known.low, known.high, len(own))
            )
    return found


def toned(rows: Sequence[Row], tone: Tone) -> list[Finding]:
    """Return the groups and mentions that are answered in a tone unlike that of all others, by a tenth or more.

    `tone` scores answers: a sentiment or regard classifier. Intervals are normal, of the difference of two means (Welch
    1947), at a level that all segments share.
    """
    inside = {place: own for place, own in _by_segment(rows, GROUP, MENTION).items() if len(own) >= LEAST}
    if not inside:
        return []
    scores_N = np.asarray(tone([row.answer for row in rows]), dtype=float)
    z = quantile(1 - ALPHA / len(inside))
    found = []
    for facet, segment in inside:
        is_in_N = np.array([row.facets.get(facet) == segment for row in rows])
        own, others = scores_N[is_in_N], scores_N[~is_in_N]
        if len(others) < LEAST:
            continue
        difference = float(own.mean() - others.mean())
        error = z * math.sqrt(own.var(ddof=1) / len(own) + others.var(ddof=1) / len(others))
        if abs(difference) - error > 0 and abs(difference) > _TONE:
            low, high = difference - error, difference + error
            found.append(Finding("another tone", facet, segment, difference, 0.0, low, high, len(own)))
    return found


def marked(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return, per group or mention, words that answers to it have and answers to others have not.

    A word counts once per answer; a question's own words do not count, nor do words of fewer than 20 answers, which may
    be names. Source: Monroe, Colaresi & Quinn 2008,
    Fightin' Words, equations 16 and 22 (log-odds with an informative Dirichlet prior), at a level shared by all words.
    """
    bags = [set(words(row.answer)) - set(words(row.question)) for row in rows]
    total = Counter(word for bag in bags for word in bag)
    known = [word for word, count in total.items() if count >= LEAST and re.search(r"\w", word)]
    inside = {place: own for place, own in _by_segment(rows, GROUP, MENTION).items() if LEAST <= len(own) < len(rows)}
    if not known or not inside:
        return {}
    needed = quantile(1 - ALPHA / (len(known) * len(inside)))
    told = {}
    for facet, segment in inside:
        own_bags = [bag for row, bag in zip(rows, bags, strict=True) if row.facets.get(facet) == segment]
        own, size, rest = Counter(word for bag in own_bags for word in bag), len(own_bags), len(rows) - len(own_bags)
        if rest < LEAST:
            continue
        marks = []
        for word in known:
            prior = _PRIOR * total[word] / (len(rows) + 1)
            here, there = own[word] + prior, total[word] - own[word] + prior
            odds = math.log(here / (size + _PRIOR - here)) - math.log(there / (rest + _PRIOR - there))
            z = odds / math.sqrt(1 / here + 1 / there)
            if z > needed:
                marks.append((-z, word))
        if marks:
            told[f"{facet} {segment}"] = [word for _, word in sorted(marks)[:_MARKERS]]
    return told


def _by_segment(rows: Sequence[Row], *kinds: str) -> dict[tuple[str, str], list[Row]]:
    inside: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        for facet, segment in row.facets.items():
            if facet.startswith(kinds):
                inside[facet, segment].append(row)
    return dict(sorted(inside.items()))
