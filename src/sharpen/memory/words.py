"""The words of a prompt, as curation compares prompts and recall searches them.

In: messages or text. Out: words. Must not know what is compared or why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from sharpen.records import Message

# A sign of arithmetic is a word of its own: "17 + 23" and "17 * 23" are different questions.
_WORD = re.compile(r"\w+|[+*/=<>^%-]")


def asked(messages: Sequence[Message]) -> str:
    """Return the last user message, or the last message where no user spoke."""
    for message in reversed(messages):
        if message.role == "user":
            return message.content
    return messages[-1].content if messages else ""


def words(text: str) -> list[str]:
    """Return the words of `text` in order, lower-cased; a text without any is one word.

    >>> words("Is 3 + 4 = 7?"), words("?!")
    (['is', '3', '+', '4', '=', '7'], ['?!'])
    """
    return _WORD.findall(text.lower()) or [text.strip()]


def jaccard(left: Set[str], right: Set[str]) -> float:
    """Return the share of words two sets have in common, 0-1.

    Source: Jaccard 1912, The distribution of the flora in the alpine zone, p. 37.

    >>> jaccard({"a", "b"}, {"b", "c"}) == 1 / 3
    True
    """
    union = len(left | right)
    return len(left & right) / union if union else 1.0
