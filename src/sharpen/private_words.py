"""Personal data and secrets: the patterns that find them, for whoever drops such a text or takes the words out.

In: a text. Out: the name of what it holds, or the text without it; never what was found. Must not know what a person
would call personal: patterns see the form alone, and their checksums where there are any.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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
_KEY = r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:.*?-----END (?:[A-Z]+ )*PRIVATE KEY-----|.*)"  # or what came of it
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
    "private_key": (("-----BEGIN",), re.compile(_KEY, re.DOTALL), _any),
    "aws_key": (("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), _any),
    "github_token": (("gh",), re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"), _any),
    "slack_token": (("xox",), re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"), _any),
    "api_key": (("sk-",), re.compile(r"\bsk-(?:[A-Za-z]+-)*[A-Za-z0-9_-]{20,}"), _any),
    "google_key": (("AIza",), re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"), _any),
    "jwt": (("eyJ",), re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"), _any),
    "password": (("=", ":"), re.compile(_GIVEN_AWAY), _any),
}


def first_found(text: str, patterns: Patterns) -> str | None:
    """Return the name of the first pattern that the text holds, or None."""
    for name, (needles, pattern, check) in patterns.items():
        if needles and not any(needle in text for needle in needles):
            continue
        if any(check(found.group()) for found in pattern.finditer(text)):
            return name
    return None


def without(text: str, patterns: Patterns) -> str:
    """Return the text with the name of each finding in its place.

    >>> without("write to ada@example.org", PERSONAL)
    'write to [email]'
    """
    for name, (needles, pattern, check) in patterns.items():
        if needles and not any(needle in text for needle in needles):
            continue
        text = pattern.sub(_namer(name, check), text)
    return text


def _namer(name: str, check: Check) -> Callable[[re.Match[str]], str]:
    return lambda found: f"[{name}]" if check(found.group()) else found.group()
