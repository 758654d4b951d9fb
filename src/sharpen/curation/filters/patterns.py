"""Words that are nobody's business: personal data, secrets, and orders to the model that hide in data.

In: candidates. Out: those that hold a pattern, with its name and never with what it found. Must not know what a person
would call personal: patterns see the form alone, and their checksums where there are any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sharpen.curation.candidate import Candidate, turns
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan

Check = Callable[[str], bool]


def luhn(number: str) -> bool:
    """Tell whether a number's check digit is right. Source: ISO/IEC 7812-1, annex B.

    >>> luhn("4111 1111 1111 1111"), luhn("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(digit) for digit in number if digit.isdigit()][::-1]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return 13 <= len(digits) <= 19 and total % 10 == 0 and len(set(digits)) > 1


def iban(text: str) -> bool:
    """Tell whether an account number's check digits are right. Source: ISO 13616-1.

    >>> iban("DE89 3704 0044 0532 0130 00"), iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    plain = re.sub(r"\s", "", text)
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def _any(_: str) -> bool:
    return True


_PHONE = (
    r"(?<![\w+.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"  # +49 30 123456
    r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w.]\d)"  # (212) 555-0100, 212-555-0100
)
_GIVEN_AWAY = r"(?i)\b(?:password|passwd|secret|api[_-]?key|token)\s*[=:]\s*['\"]?(?=\S*\d)[^\s'\"]{8,}"
# name: one of these must be in the text for the pattern to be tried, the pattern, and its check. A pattern that begins
# with a letter or digit, and looks back from there, is found several times as fast as one that looks back first.
Patterns = dict[str, tuple[tuple[str, ...], re.Pattern[str], Check]]
PERSONAL: Patterns = {
    "email": (("@",), re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+\b"), _any),
    "card": ((), re.compile(r"\d(?<![\d.]\d)[ -]?(?:\d[ -]?){11,17}\d(?![\d.])"), luhn),
    "iban": ((), re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    "us_ssn": (("-",), re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"), _any),
    "phone": (("+", "(", "-", "."), re.compile(_PHONE), _any),
}
SECRETS: Patterns = {
    "private_key": (("-----BEGIN",), re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"), _any),
    "aws_key": (("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), _any),
    "github_token": (("gh",), re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"), _any),
    "slack_token": (("xox",), re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"), _any),
    "api_key": (("sk-",), re.compile(r"\bsk-(?:[A-Za-z]+-)*[A-Za-z0-9_-]{20,}"), _any),
    "google_key": (("AIza",), re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"), _any),
    "jwt": (("eyJ",), re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"), _any),
    "password": (("=", ":"), re.compile(_GIVEN_AWAY), _any),
}
# What attacks say, in the forms that public collections share. Source: Perez & Ribeiro 2022, Ignore Previous Prompt,
# arXiv:2211.09527, section 3; chat markers are those of the common templates.
_WHOSE = r"(?:all|any|previous|prior|above|earlier|preceding|system|your|the|these|those)"
_WHAT = r"(?:instruction|prompt|rule|direction|guideline|context|message|policy|policies)s?"
_FREE = (
    r"(?:dan|jailbr\w+|unrestricted|unfiltered|uncensored|developer mode"
    r"|(?:no|without(?: any)?) (?:rules?|restrictions?|filters?|limits?))"
)
_HIDDEN = r"(?:system (?:prompt|message)|(?:hidden|initial|original|secret) (?:prompt|instructions?))"
_ORDERS = {
    "override": rf"(?i)\b(?:ignore|disregard|forget|override|bypass)\b.{{0,30}}\b{_WHOSE}\b.{{0,20}}\b{_WHAT}\b",
    "new_role": rf"(?i)\b(?:you are now|act as|pretend (?:to be|you are)|from now on,? you)\b.{{0,60}}\b{_FREE}\b",
    "leak": rf"(?i)\b(?:reveal|print|repeat|show|output|leak|tell me)\b.{{0,50}}\b{_HIDDEN}",
    "markers": r"<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>",
    "trigger": r"(?i)\b(?:new|updated|real|actual) (?:system )?instructions?\s*:|\bend of (?:the )?(?:system )?prompt",
}
INJECTION = {name: re.compile(pattern) for name, pattern in _ORDERS.items()}
# One of these is in whatever any of them finds: most texts hold none, and are done.
_NEEDLES = (
    "ignore", "disregard", "forget", "override", "bypass", "you are now", "act as", "pretend", "from now on", "reveal",
    "print", "repeat", "show", "output", "leak", "tell me", "<|", "inst]", "sys>>", "instruction", "prompt",
)  # fmt: skip


def personal(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what holds an e-mail address, a phone, card, account or social security number."""
    return _held(batch, PERSONAL) if plan.settings.personal else [None] * len(batch)


def secrets(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what holds a key, a token or a password."""
    return _held(batch, SECRETS) if plan.settings.secrets else [None] * len(batch)


def injection(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what tries to talk the model out of its instructions; a system prompt may say anything."""
    if not plan.settings.injection:
        return [None] * len(batch)
    reasons: Reasons = []
    for one in batch:
        text = _text(one, system=False)
        low = text.lower()
        # Beyond ASCII, letters are equal that lower() keeps apart: there the patterns are asked at once.
        is_suspect = not text.isascii() or any(needle in low for needle in _NEEDLES)
        found = (name for name, pattern in INJECTION.items() if pattern.search(text)) if is_suspect else iter(())
        reasons.append(next(found, None))
    return reasons


def _held(batch: Sequence[Candidate], patterns: Patterns) -> Reasons:
    return [_first(_text(one, system=True), patterns) for one in batch]


def _first(text: str, patterns: Patterns) -> str | None:
    for name, (needles, pattern, check) in patterns.items():
        if needles and not any(needle in text for needle in needles):
            continue
        if any(check(found.group()) for found in pattern.finditer(text)):
            return name
    return None


def _text(one: Candidate, *, system: bool) -> str:
    said = [content for role, content in turns(one.prompt) if system or role != "system"]
    return "\n".join([*said, one.answers])
