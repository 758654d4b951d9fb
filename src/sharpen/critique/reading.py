"""Read what a model wrote: leniently, and the same way every time.

In: text. Out: an answer, a judgement, issues; None where the text holds none. Must not know who wrote it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal, cast

from sharpen.critique.quoting import RULE
from sharpen.records import Issue
from sharpen.verify.scorers import last_number

MOST_ISSUES = 8  # chosen: a list that is longer repeats itself
_ANSWER = re.compile(r"(?:final\s+answer|answer)\b[\s*_\"']*(?::|=|\bis\b:?)[\s*_]*", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_OF_TEN = re.compile(r"\b(10|[0-9])(?:\.[0-9])?\s*(?:/|out\s+of)\s*10\b")
_SEVERITY = re.compile(r"\b(low|medium|high)\b", re.IGNORECASE)
_QUOTE = re.compile('["“]([^"”\n]{1,300})["”]')
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)])\s+(?=\S)")
_NOTHING = re.compile(
    r"^\W*(?:none\b|nothing\b|no\W*$|no\s+(?:\w+\s+){0,2}(?:issues?|problems?|errors?|mistakes?|faults?)\b|ok\W*$|"
    r"approved?\b|looks?\s+(?:good|right|correct)\b|the\s+answer\s+is\s+(?:right|correct)\b)",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^\W*(?:here\s+is\s+)?(?:the\s+|my\s+)?(?:revised|improved|better|new|corrected|final)\s+answer\b[^\n:]{0,40}:[\s*_]*",
    re.IGNORECASE,
)
_DO: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add, "-": operator.sub, "\u2212": operator.sub, "*": operator.mul, "\u00d7": operator.mul,
    "x": operator.mul, "/": operator.truediv, "\u00f7": operator.truediv,
}  # fmt: skip
_ARITHMETIC = re.compile(
    r"(?<![\w.])(-?\d+(?:,\d{3})*(?:\.\d+)?)\s*([-+*/x\u00d7\u00f7\u2212])\s*(\d+(?:,\d{3})*(?:\.\d+)?)\s*=\s*(-?\d+(?:,\d{3})*(?:\.\d+)?)(?![\w%]|\.\d)"
)


def final_answer(text: str, choices: Sequence[str] = ()) -> str | None:
    """Return the answer that a chain of thought ends with, or None where it names none.

    Looked for in this order: the one declared choice that is named in the answer; what stands after the last "Answer:",
    up to an empty line; what was boxed.

    >>> final_answer("2 + 2 makes 4.\\nAnswer: **4**."), final_answer("I cannot say.")
    ('4', None)
    """
    marks = list(_ANSWER.finditer(text))
    said = text[marks[-1].end() :] if marks else ""
    if not said.strip() and (boxed := _BOXED.findall(text)):
        said = boxed[-1]
    if choices:
        return named_choice(said, choices) or named_choice(text, choices)
    return bare(said.strip().partition("\n\n")[0]) or None


def named_choice(text: str, choices: Sequence[str]) -> str | None:
    """Return the only choice that a text names as a whole word, in any case."""
    named = [choice for choice in choices if re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", text, re.IGNORECASE)]
    return named[0] if len(named) == 1 else None


def bare(text: str) -> str:
    """Take away marks around a short answer: white space, asterisks, quotes, a full stop at the end."""
    text = text.strip().strip("*_`\"'“”").strip()
    return text[:-1].rstrip("*_`\"' ") if text.endswith(".") and "\n" not in text and text.count(".") == 1 else text


def same_answer(text: str) -> str | Fraction:
    """Return what two answers must share to count as one vote: the number of a short answer, or its words.

    >>> same_answer("The total is 1,200.") == same_answer("1200"), same_answer(" Sales ") == same_answer("sales.")
    (True, True)
    """
    number = last_number(text) if len(text) <= 80 else None  # chosen: a longer answer is not about its last number
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip() if number is None else number


def approval(text: str) -> float | None:
    """Return what a judge said, 0-1: yes is 1, no is 0, "7/10" is 0.7; None where it said neither.

    >>> approval("Yes, it is."), approval("**No**"), approval("I give 7/10"), approval("Well")
    (1.0, 0.0, 0.7, None)
    """
    if (mark := _OF_TEN.search(text)) is not None:
        return int(mark[1]) / 10
    word = _YES_NO.search(text)
    return None if word is None else float(word[1].lower() == "yes")


def issues(text: str, answer: str) -> list[Issue] | None:
    """Return the faults that a review lists: none where it says so, and None where it cannot be read as a review.

    A list's points are issues; a review without a list is one issue. Evidence is what it quotes from the answer.
    """
    if not re.search(r"\w", text):
        return None
    if _NOTHING.match(text):
        return []
    lines = [line for line in text.splitlines() if re.search(r"\w", line)]
    points = [_BULLET.sub("", line).strip() for line in lines if _BULLET.match(line)]
    found = points or [" ".join(text.split())]
    return [issue(point, answer) for point in dict.fromkeys(found) if not _NOTHING.match(point)][:MOST_ISSUES]


def issue(text: str, answer: str, default: str = "medium") -> Issue:
    """Return one fault: its severity where one is named, and what it quotes from the answer as evidence."""
    word = _SEVERITY.search(text)
    severity = cast(Literal["low", "medium", "high"], word[1].lower() if word else default)
    quotes = [quote for quote in _QUOTE.findall(text) if quote.casefold() in answer.casefold()]
    return Issue(text=text[:1000], severity=severity, evidence=quotes[0] if quotes else "")


def revised(text: str) -> str:
    """Return a revision without its heading and quote marks.

    >>> revised("Here is the revised answer: 12")
    '12'
    """
    text = _HEADING.sub("", text.strip(), count=1)
    return "\n".join(line.removeprefix("> ") for line in text.strip().splitlines()).strip()


def wrong_sums(text: str) -> list[Issue]:
    """Return the equations of an answer that do not add up.

    >>> [issue.evidence for issue in wrong_sums("3 + 4 = 8, and 2 * 5 = 10")]
    ['3 + 4 = 8']
    """
    found = []
    for match in _ARITHMETIC.finditer(text):
        if text[: match.start()].rstrip()[-1:] in tuple(_DO):  # the end of a longer sum: 1 + 2 + 3 = 6
            continue
        left, right, said = (Fraction(match[group].replace(",", "")) for group in (1, 3, 4))
        try:
            result = _DO[match[2]](left, right)
        except ZeroDivisionError:
            continue
        # What cannot be written as a whole number may be rounded to the places that are shown.
        slack = Fraction(0) if result.denominator == 1 else Fraction(1, 2 * 10 ** len(match[4].partition(".")[2]))
        if abs(result - said) > slack:
            told = str(result.numerator) if result.denominator == 1 else f"{float(result):.6g}"
            found.append(Issue(text=f"This does not add up: the result is {told}.", severity="high", evidence=match[0]))
    return found[:MOST_ISSUES]


def rejection(before: str, after: str, *, cut: bool) -> str | None:
    """Return why a revision cannot stand in for the answer it revises, or None where it can."""
    if not re.search(r"\w", after):
        return "it holds no word"
    if after.strip() == before.strip():
        return "it changes nothing"
    if cut:
        return "it was cut off at [critique] max_step_tokens"
    if len(wrong_sums(after)) > len(wrong_sums(before)):
        return f"it brings in a sum that is wrong: {wrong_sums(after)[-1].evidence}"
    if any(line.startswith(RULE) for line in after.splitlines()):
        return "it repeats its instructions"
    return None
