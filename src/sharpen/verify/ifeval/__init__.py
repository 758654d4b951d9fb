"""Verifiers for the 25 kinds of instruction of IFEval, written from the paper's descriptions.

In: a reply, and the instructions of its prompt as JSON. Out: 1 if all were followed, else 0. Must not know prompts.

Strict: the reply as it is. Loose: an instruction also counts where it is followed after the first line, the last line
or the asterisks of Markdown are taken away, in any combination.
Source: Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models, arXiv:2311.07911, tables 1 and 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError, validate_call

from sharpen.verify.ifeval import form, words
from sharpen.verify.scorers import Unscored, scorer

_CHECKS: dict[str, Callable[..., bool]] = {
    "change_case:capital_word_frequency": words.capital_word_frequency,
    "change_case:english_capital": words.english_capital,
    "change_case:english_lowercase": words.english_lowercase,
    "combination:repeat_prompt": form.repeat_prompt,
    "combination:two_responses": form.two_responses,
    "detectable_content:number_placeholders": form.number_placeholders,
    "detectable_content:postscript": form.postscript,
    "detectable_format:constrained_response": form.constrained_response,
    "detectable_format:json_format": form.json_format,
    "detectable_format:multiple_sections": form.multiple_sections,
    "detectable_format:number_bullet_lists": form.number_bullet_lists,
    "detectable_format:number_highlighted_sections": form.number_highlighted_sections,
    "detectable_format:title": form.title,
    "keywords:existence": words.keywords_exist,
    "keywords:forbidden_words": words.no_forbidden_words,
    "keywords:frequency": words.keyword_frequency,
    "keywords:letter_frequency": words.letter_frequency,
    "language:response_language": words.response_language,
    "length_constraints:nth_paragraph_first_word": form.nth_paragraph_first_word,
    "length_constraints:number_paragraphs": form.number_paragraphs,
    "length_constraints:number_sentences": form.number_sentences,
    "length_constraints:number_words": words.number_words,
    "punctuation:no_comma": words.no_comma,
    "startend:end_checker": form.end_checker,
    "startend:quotation": form.quotation,
}
KINDS: Mapping[str, Callable[..., bool]] = {name: validate_call(check) for name, check in _CHECKS.items()}

Instructions = list[tuple[str, dict[str, Any]]]


def follows(reply: str, kind: str, arguments: Mapping[str, Any], *, loose: bool = False) -> bool:
    """Tell whether a reply follows one instruction; an empty reply follows none.

    Raises: Unscored when there is no such kind, or it does not take these arguments.
    """
    check = KINDS.get(kind)
    if check is None:
        raise Unscored(f"there is no instruction of the kind '{kind}'")
    try:
        results = [check(version, **arguments) for version in (variants(reply) if loose else [reply])]
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise Unscored(f"{kind}: {place}: {fault['msg'].lower()}") from error
    return bool(reply.strip()) and any(results)


def variants(reply: str) -> list[str]:
    """Return the reply, and what is left of it without first line, last line and asterisks; none is empty."""
    lines = reply.split("\n")
    cut = [reply, *("\n".join(some).strip() for some in (lines[1:], lines[:-1], lines[1:-1]))]
    return [text for text in dict.fromkeys([*cut, *(text.replace("*", "") for text in cut)]) if text.strip()] or [reply]


@cache
def read_instructions(reference: str) -> Instructions:
    """Return the instructions that a case's reference holds: [[kind, {argument: value}], …] as JSON.

    Raises: Unscored when they are none, or one of them cannot be checked.
    """
    try:
        given = [(str(kind), dict(arguments)) for kind, arguments in json.loads(reference)]
    except (ValueError, TypeError) as error:
        raise Unscored(f"the reference holds no instructions: {error}") from error
    if not given:
        raise Unscored("the reference holds no instructions")
    for kind, arguments in given:
        follows("", kind, arguments)
    return given


@scorer
def ifeval_strict(reply: str, reference: str) -> float:
    """Return 1 if the reply follows every instruction as it is.

    >>> ifeval_strict("no comma here", '[["punctuation:no_comma", {}]]')
    1.0
    """
    return float(all(follows(reply, kind, arguments) for kind, arguments in read_instructions(reference)))


@scorer
def ifeval_loose(reply: str, reference: str) -> float:
    """Return 1 if the reply follows every instruction, small talk around it and Markdown aside.

    >>> ifeval_loose("Sure, here it is:\\nno comma here", '[["punctuation:no_comma", {}]]')
    1.0
    """
    return float(all(follows(reply, kind, arguments, loose=True) for kind, arguments in read_instructions(reference)))
