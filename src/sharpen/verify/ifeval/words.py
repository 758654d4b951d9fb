"""Instructions on words, letters, case and punctuation.

In: a reply and an instruction's arguments. Out: whether it was followed. Must not know prompts or scores.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from sharpen.verify.ifeval.language import is_written_in

Relation = Literal["less than", "at least"]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
Letter = Annotated[str, Field(min_length=1, max_length=1)]

_WORD = re.compile(r"\w+")
_SHOUTED = re.compile(r"\w+(?:['’.-]\w+)*")  # noqa: RUF001 - the typographic apostrophe


def holds(count: int, relation: Relation, limit: int) -> bool:
    """Compare a count as an instruction puts it.

    >>> holds(3, "at least", 3), holds(3, "less than", 3)
    (True, False)
    """
    return count < limit if relation == "less than" else count >= limit


def count_words(reply: str) -> int:
    """Return the number of words: runs of letters, digits and underscores, as the paper's verifier counts."""
    return len(_WORD.findall(reply))


def keywords_exist(reply: str, keywords: list[Text]) -> bool:
    """Every keyword occurs, in any case, also as a part of a word."""
    return all(word.casefold() in reply.casefold() for word in keywords)


def keyword_frequency(reply: str, keyword: Text, frequency: Count, relation: Relation) -> bool:
    """The keyword occurs often or seldom enough, in any case, also as a part of a word."""
    return holds(reply.casefold().count(keyword.casefold()), relation, frequency)


def no_forbidden_words(reply: str, forbidden_words: list[Text]) -> bool:
    """None of the words occurs as a whole word, in any case."""
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", reply, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(reply: str, letter: Letter, let_frequency: Count, let_relation: Relation) -> bool:
    """The letter (or sign) occurs often or seldom enough, in any case."""
    return holds(reply.lower().count(letter.lower()), let_relation, let_frequency)


def number_words(reply: str, num_words: Count, relation: Relation) -> bool:
    """There are enough words, or few enough."""
    return holds(count_words(reply), relation, num_words)


def capital_word_frequency(reply: str, capital_frequency: Count, capital_relation: Relation) -> bool:
    """Words all in capital letters occur often or seldom enough; "I" and "A" are such words."""
    count = sum(word.isupper() for word in _SHOUTED.findall(reply))
    return holds(count, capital_relation, capital_frequency)


def english_capital(reply: str) -> bool:
    """English, and every letter is a capital."""
    return reply.isupper() and is_written_in(reply, "en")


def english_lowercase(reply: str) -> bool:
    """English, and no letter is a capital."""
    return reply.islower() and is_written_in(reply, "en")


def response_language(reply: str, language: Text) -> bool:
    """All of the reply is in one language, given as its ISO 639-1 code."""
    return is_written_in(reply, language)


def no_comma(reply: str) -> bool:
    """There is no comma."""
    return "," not in reply
