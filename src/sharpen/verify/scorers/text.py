"""Scorers that compare texts.

In: a reply, a reference. Out: 0 to 1. Must not know models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from sharpen.memory.words import words
from sharpen.verify.scorers.registry import Unscored, scorer


@scorer
def exact(reply: str, reference: str) -> float:
    """Return 1 if reply and reference are the same text, white space at both ends aside; case and full stops count.

    >>> exact(" Paris\\n", "Paris"), exact("paris", "Paris"), exact("Paris.", "Paris")
    (1.0, 0.0, 0.0)
    """
    return float(reply.strip() == reference.strip())


@scorer
def contains_one(reply: str, reference: str, choices: Sequence[str] = ()) -> float:
    """Return 1 if the reference is the only one of the choices that occurs in the reply, as whole words, in any case.

    Where one choice is part of another, the longer one is what occurred.

    >>> contains_one("I'd say billing.", "billing", ["billing", "sales"])
    1.0
    >>> contains_one("billing or sales", "billing", ["billing", "sales"])
    0.0
    """
    wanted = reference.strip().casefold()
    names = {choice.strip().casefold() for choice in choices} | {wanted}
    names.discard("")
    if not wanted:
        raise Unscored("the reference is empty")
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    found = {match.group() for match in re.finditer(rf"(?<!\w)(?:{longest_first})(?!\w)", reply.casefold())}
    return float(found == {wanted})


@scorer
def word_f1(reply: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of the reply's words against the reference's, in any case.

    Source: Rajpurkar et al. 2016, SQuAD, arXiv:1606.05250, section 6.1.

    >>> word_f1("It is Oslo", "Oslo"), word_f1("Oslo", "oslo"), word_f1("Bergen", "Oslo")
    (0.5, 1.0, 0.0)
    """
    if not reference.strip():
        raise Unscored("the reference is empty")
    said, wanted = words(reply), words(reference)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))
