"""How many sentences a text has.

In: a text. Out: a count. Must not know who asks.

A sentence ends with a full stop, question or exclamation mark (or its like in another script), closing quotes and
brackets behind it, and then white space or the end; a full stop after an abbreviation, an initial or the number of a
list item ends none. The published verifier asks nltk's trained splitter, which needs a download; both agree where it
matters: counts of ordinary prose.
"""

from __future__ import annotations

import re

_ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "gen", "col", "lt", "capt", "rev", "hon", "e.g", "i.e",
    "etc", "cf", "no", "vol", "fig", "approx", "dept", "est", "inc", "ltd", "co", "corp", "a.m", "p.m", "u.s", "u.k",
})  # fmt: skip
# Their full stop may also end the sentence: it does where a capital letter follows.
_MAY_END = frozenset({"etc", "a.m", "p.m", "u.s", "u.k", "inc", "ltd", "co", "corp", "no", "jr", "sr"})
_END = re.compile(r"([.!?…]+|[。！？।۔؟]+)[\"'”’)\]*_]*(?=\s|$|[^\W_])")  # noqa: RUF001 - marks of other scripts
_LAST_TOKEN = re.compile(r"[\w.]*\Z")


def count_sentences(text: str) -> int:
    """Return the number of sentences; words after the last end mark count as one more.

    >>> count_sentences("Dr. Who paid 3.50 at 5 p.m. on Monday. Why? Nobody knows"), count_sentences("")
    (3, 0)
    """
    count, start = 0, 0
    for end in _END.finditer(text):
        if _is_end(text, end) and re.search(r"\w", text[start : end.start()]):
            count += 1
            start = end.end()
    return count + bool(re.search(r"\w", text[start:]))


def _is_end(text: str, end: re.Match[str]) -> bool:
    """Tell an end mark from a full stop inside of a sentence."""
    behind = text[end.end() : end.end() + 40]
    if end[1][0] in ".!?…" and behind and not behind[0].isspace():
        return False  # as in 3.50, example.com or "what?!no"
    following = behind.lstrip()[:1]
    if end[1] != ".":
        is_inside = end[0] != end[1] or end[1][0] == "…" or end[1].startswith("..")  # "Go!" he said; wait... what
        return not (is_inside and following.islower())
    found = _LAST_TOKEN.search(text, max(0, end.start() - 20), end.start())
    word = (found[0] if found else "").casefold()
    if word in _ABBREVIATIONS:
        return not behind.strip() or (word in _MAY_END and following.isupper())
    if len(word) == 1 and word.isalpha() and word != "i":
        return not behind.strip()
    is_item = word.isdigit() and text[: end.start() - len(word)].rpartition("\n")[2].strip() == ""
    return not (is_item and behind.strip())
