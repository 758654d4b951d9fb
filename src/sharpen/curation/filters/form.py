"""The outward form of prompts and answers: length, language, and whether two answers can be told apart.

In: candidates. Out: those that are out of bounds, with the figure. Must not know what answers mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sharpen.curation.candidate import Candidate, asked, conversation
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan
from sharpen.memory.words import jaccard, words
from sharpen.verify.ifeval.language import is_written_in

_SAME = 0.95  # chosen: of twenty words one differs
_LONG = 20  # chosen: words from which likeness says more than a difference does; labels of one word differ by a letter
_CLEAR = 5  # chosen: words that a language can be told from


def length(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop conversations or answers with more characters than `longest`: they would be cut in training."""
    limit, reasons = plan.settings.longest_characters, list[str | None]()
    for one in batch:
        sizes = [len(conversation(one.prompt)), len(one.chosen or ""), len(one.rejected or "")]
        reasons.append(f"{max(sizes)} characters" if max(sizes) > limit else None)
    return reasons


def length_ratio(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop pairs of which one answer is more than `length_ratio` times as long: they teach length, not content.

    Source: Singhal et al. 2023, A Long Way to Go: Investigating Length Correlations in RLHF, arXiv:2310.03716.
    """
    limit, reasons = plan.settings.length_ratio, list[str | None]()
    for one in batch:
        short, long = sorted((len(one.chosen or ""), len(one.rejected or "")))
        is_pair = one.chosen is not None and one.rejected is not None
        ratio = long / max(1, short)
        reasons.append(f"{ratio:.1f} times as long" if limit and is_pair and long >= 100 and ratio > limit else None)
    return reasons


def language(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop questions and answers in none of the `languages`; texts of under five words are not looked at."""
    wanted = plan.settings.languages
    return [next((f"'{text[:40]}'" for text in (asked(one.prompt), one.chosen or "")
                  if wanted and _is_long(text) and not any(is_written_in(text, code) for code in wanted)), None)
            for one in batch]  # fmt: skip


def _is_long(text: str) -> bool:
    return len(text.split()) >= _CLEAR


def same_answer(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop pairs whose answers say the same: there is nothing to prefer.

    Where a person or a verifier said what is right, the answer stays: only its case or punctuation was wrong.
    """
    reasons: Reasons = []
    for one in batch:
        is_bare = one.origin in ("comparison", "rating", "samples")
        pair = (one.chosen, one.rejected) if is_bare and one.chosen is not None and one.rejected is not None else None
        reasons.append("the answers say the same" if pair and _same(*pair) else None)
    return reasons


def _same(left: str, right: str) -> bool:
    one, two = words(left), words(right)
    if re.sub(r"\W+", "", left.casefold()) == re.sub(r"\W+", "", right.casefold()) and one == two:
        return True
    return min(len(one), len(two)) >= _LONG and jaccard(set(one), set(two)) >= _SAME
