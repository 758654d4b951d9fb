"""Instructions on the form of a reply: sentences, paragraphs, lists, sections, titles, beginnings and ends.

In: a reply and an instruction's arguments. Out: whether it was followed. Must not know prompts or scores.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

from pydantic import Field

from sharpen.verify.ifeval.sentences import count_sentences
from sharpen.verify.ifeval.words import Count, Relation, Text, holds

Place = Annotated[int, Field(ge=1)]

_STAR_BULLET = re.compile(r"^\s*\*[^*].*$", re.MULTILINE)
_DASH_BULLET = re.compile(r"^\s*-.*$", re.MULTILINE)
_BOLD = re.compile(r"\*\*([^\n*]*)\*\*")
_ITALIC = re.compile(r"\*([^\n*]*)\*")
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*(?:```)?\Z", re.IGNORECASE | re.DOTALL)
_FIRST_WORD = re.compile(r"[^\w\s]*(\w+(?:['’-]\w+)*)")  # noqa: RUF001 - the typographic apostrophe
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_sentences(reply: str, num_sentences: Count, relation: Relation) -> bool:
    """There are enough sentences, or few enough."""
    return holds(count_sentences(reply), relation, num_sentences)


def number_paragraphs(reply: str, num_paragraphs: Count) -> bool:
    """There are exactly so many paragraphs, with the divider *** between them, and none is empty."""
    return _parts(re.split(r"\s?\*\*\*\s?", reply)) == num_paragraphs


def nth_paragraph_first_word(reply: str, num_paragraphs: Count, nth_paragraph: Place, first_word: Text) -> bool:
    """There are exactly so many paragraphs, with blank lines between them, and the n-th begins with the word."""
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\n+", reply) if paragraph.strip()]
    if len(paragraphs) != num_paragraphs or nth_paragraph > len(paragraphs):
        return False
    found = _FIRST_WORD.match(paragraphs[nth_paragraph - 1])
    return found is not None and found[1].casefold() == first_word.casefold()


def number_placeholders(reply: str, num_placeholders: Count) -> bool:
    """There are at least so many placeholders in square brackets, such as [address]."""
    return len(re.findall(r"\[[^\[\]\n]*\]", reply)) >= num_placeholders


def postscript(reply: str, postscript_marker: Text) -> bool:
    """A postscript begins with the marker, in any case, and says something."""
    letters = [letter for letter in postscript_marker if letter.isalnum()]
    marker = r"\.\s?".join(re.escape(letter) for letter in letters) + (r"\." if postscript_marker.endswith(".") else "")
    return re.search(rf"(?<![\w.]){marker}\W*\w", reply, re.IGNORECASE) is not None


def number_bullet_lists(reply: str, num_bullets: Count) -> bool:
    """There are exactly so many bullet points: lines that begin with * or -."""
    return len(_STAR_BULLET.findall(reply)) + len(_DASH_BULLET.findall(reply)) == num_bullets


def constrained_response(reply: str) -> bool:
    """One of three given answers is in the reply, word for word."""
    return any(answer in reply for answer in _ANSWERS)


def number_highlighted_sections(reply: str, num_highlights: Count) -> bool:
    """There are at least so many highlighted parts: *like this* or **this**."""
    bold = _BOLD.findall(reply)
    italic = _ITALIC.findall(_BOLD.sub(" ", reply))
    return sum(bool(text.strip()) for text in (*bold, *italic)) >= num_highlights


def multiple_sections(reply: str, section_spliter: Text, num_sections: Count) -> bool:
    """There are at least so many sections, each begun by the splitter and a number, such as "Section 1"."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", reply)) >= num_sections


def json_format(reply: str) -> bool:
    """All of the reply is JSON; a code fence around it is allowed."""
    fenced = _FENCE.match(reply.strip())
    try:
        json.loads(fenced[1] if fenced else reply)
    except (ValueError, RecursionError):
        return False
    return True


def title(reply: str) -> bool:
    """There is a title in double angular brackets, such as <<poem of joy>>."""
    return any(found.strip("<> \t") for found in re.findall(r"<<[^\n]+?>>", reply))


def two_responses(reply: str) -> bool:
    """There are exactly two different responses with six asterisks between them."""
    parts = reply.split("******")
    texts = [part.strip() for part in parts if part.strip()]
    return _parts(parts) == 2 and texts[0] != texts[1]


def repeat_prompt(reply: str, prompt_to_repeat: Text) -> bool:
    """The reply begins with the request, word for word."""
    return reply.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


def end_checker(reply: str, end_phrase: Text) -> bool:
    """The reply ends with exactly this phrase; quotation marks around the reply are left aside."""
    return reply.strip().strip('"').casefold().endswith(end_phrase.strip().strip('"').casefold())


def quotation(reply: str) -> bool:
    """All of the reply stands in double quotation marks."""
    text = reply.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def _parts(parts: list[str]) -> int:
    """Count the parts between dividers; -1 where one is empty. A divider may open and close the reply."""
    if parts and not parts[0].strip():
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return len(parts) if all(part.strip() for part in parts) else -1
