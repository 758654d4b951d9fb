"""Scorers that compare numbers, however they are written, and quantities, in whatever unit.

In: a reply, a reference. Out: 0 or 1. Must not know models.
"""

from __future__ import annotations

import re
from fractions import Fraction

from sharpen.verify.scorers.registry import Unscored, scorer

# A sign counts only where it is not an operator after a word or number; 300 digits keep big integers cheap to read.
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,300})"
# "m2" and "H2" are names, not numbers.
_NUMBER = re.compile(
    r"(?<!\w)[A-Za-z]{1,2}[0-9](?!\w)|"
    rf"(?P<sign>(?<![\w.)])[-−])?(?P<whole>{_DIGITS})?"  # noqa: RUF001 - the true minus sign
    r"(?:(?<=[0-9])/(?P<below>[0-9]{1,300})|(?P<decimals>\.[0-9]{1,300}))?(?:(?<=[0-9])[eE](?P<power>[-+]?[0-9]{1,3}))?"
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{([0-9]{1,300})\}\{([0-9]{1,300})\}")
_TAIL_CHARS = 10_000  # chosen: a final number stands near the end; keeps the search short on endless replies


def last_number(text: str) -> Fraction | None:
    """Return the last number in a text: thousands commas, minus signs, decimals, fractions and exponents are read.

    >>> last_number("so 1,200 - 3.5 = -1/2."), last_number(r"\\boxed{\\frac{3}{4}} m2"), last_number("none")
    (Fraction(-1, 2), Fraction(3, 4), None)
    """
    found = _last(_plain(text))
    return _value(found) if found else None


def _plain(text: str) -> str:
    return _LATEX_FRACTION.sub(r"\1/\2", text[-_TAIL_CHARS:])


def _last(text: str) -> re.Match[str] | None:
    found = None
    for match in _NUMBER.finditer(text):
        if match["whole"] or match["decimals"]:
            found = match
    return found


def _value(found: re.Match[str]) -> Fraction | None:
    value = Fraction((found["whole"] or "0").replace(",", "") + (found["decimals"] or ""))
    if found["below"]:
        below = int(found["below"])
        if below == 0:
            return None
        value /= below
    value *= Fraction(10) ** int(found["power"] or 0)
    return -value if found["sign"] else value


@scorer
def numeric(reply: str, reference: str) -> float:
    """Return 1 if the last number in the reply equals the reference, exactly, however either is written.

    >>> numeric("The answer is 1,250.0", "1250"), numeric("0.5", "1/2"), numeric("no idea", "3")
    (1.0, 1.0, 0.0)
    """
    wanted = last_number(reference)
    if wanted is None:
        raise Unscored("the reference is not a number")
    return float(last_number(reply) == wanted)


# Each unit as its dimension and its size. Source: BIPM 2019, The International System of Units, tables 2, 4, 7 and 8.
_UNITS: dict[str, tuple[str, Fraction]] = {
    "": ("1", Fraction(1)), "%": ("1", Fraction(1, 100)),
    **{name: ("length", Fraction(size)) for name, size in
       {"mm": "0.001", "cm": "0.01", "dm": "0.1", "m": "1", "km": "1000"}.items()},
    **{name: ("mass", Fraction(size)) for name, size in {"mg": "0.001", "g": "1", "kg": "1000", "t": "1e6"}.items()},
    **{name: ("time", Fraction(size)) for name, size in
       {"ms": "0.001", "s": "1", "min": "60", "h": "3600", "d": "86400"}.items()},
    **{name: ("volume", Fraction(size)) for name, size in {"ml": "0.001", "cl": "0.01", "l": "1"}.items()},
}  # fmt: skip
_LONG = {
    "percent": "%", "metre": "m", "meter": "m", "kilometre": "km", "kilometer": "km", "centimetre": "cm",
    "centimeter": "cm", "millimetre": "mm", "millimeter": "mm", "gram": "g", "kilogram": "kg", "tonne": "t",
    "second": "s", "sec": "s", "minute": "min", "hour": "h", "day": "d", "litre": "l", "liter": "l", "L": "l",
    "mL": "ml",
}  # fmt: skip
_WORD = re.compile(r"\s?(%|[A-Za-z]{1,20})(?![\w/^²³])")


@scorer
def quantity(reply: str, reference: str) -> float:
    """Return 1 if the last number in the reply, with the unit behind it, is the same quantity as the reference.

    Units of length, mass, time and volume are converted, and so is "%"; a number whose unit is missing or another
    dimension's is wrong.

    >>> quantity("It is 1.5 km away.", "1500 m"), quantity("a quarter: 25 %", "0.25"), quantity("1500", "1500 m")
    (1.0, 1.0, 0.0)
    """
    wanted = _quantity(reference)
    if wanted is None:
        raise Unscored("the reference is no quantity with a known unit")
    return float(_quantity(reply) == wanted)


def _quantity(text: str) -> tuple[str, Fraction] | None:
    text = _plain(text)
    found = _last(text)
    value = _value(found) if found else None
    if found is None or value is None:
        return None
    word = _WORD.match(text, found.end())
    name = word[1] if word else ""
    short = _LONG.get(name) or _LONG.get(name.lower().removesuffix("s")) or name
    dimension, size = _UNITS.get(short, _UNITS[""])  # a word that is no unit: the sentence goes on
    return dimension, value * size
