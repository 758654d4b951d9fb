"""An exchange or an example, and the facets by which it may be treated differently.

In: what was asked and answered, who asked, which words name whom. Out: `Row`. Must not know any check.

Nobody's traits are guessed from what they wrote. A group is what a source declared itself; a mention is a word in a
question, which says whom the question is about and not who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sharpen.memory.words import words
from sharpen.verify.ifeval.language import LANGUAGES, is_written_in

GROUP, MENTION = "group:", "mention:"  # what facets about people begin with
_LOOKED_AT = 200  # chosen: characters that tell a language
_LENGTHS = ((5, "up to 5 words"), (20, "up to 20 words"), (100, "up to 100 words"))  # chosen: a phrase, a sentence, ...

Groups = Mapping[str, Mapping[str, str]]  # source -> axis -> the group that it declared


class Row(NamedTuple):
    """What a check looks at."""

    question: str
    answer: str
    facets: Mapping[str, str]  # facet -> segment
    person: str | None = None  # the source behind it
    weight: float = 1.0
    is_annotated: bool = True  # somebody or something spoke of it
    went_well: bool | None = None  # None: nobody can tell


def facets(
    question: str, version: str, source: str | None, groups: Groups, mentions: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the segments that a question is in: language, length, version, and those about people."""
    said = words(question)
    found = {"length": next((name for most, name in _LENGTHS if len(said) <= most), "over 100 words")}
    found["language"] = next((code for code in LANGUAGES if is_written_in(question[:_LOOKED_AT], code)), "other")
    found["version"] = version
    found |= declared(source, groups)
    distinct = set(said)
    return found | {f"{MENTION}{name}": "named" for name, own in mentions.items() if not distinct.isdisjoint(own)}


def declared(source: str | None, groups: Groups) -> dict[str, str]:
    """Return the groups that a source declared, as facets."""
    return {f"{GROUP}{axis}": label for axis, label in groups.get(source or "", {}).items()}
