"""How a reply is graded: plain functions from (reply, reference) to 0-1, found by name.

In: texts. Out: a value, or None with the reason: unscored is not 0. Must not know suites, models or records.

A scorer is `(reply, reference) -> float | None`; it may take a third argument `choices` where the task has a fixed
set of answers. None, or `Unscored(reason)` raised, means that this reply cannot be judged.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from sharpen.errors import ConfigError, SharpenError

Scorer = Callable[..., float | None]
F = TypeVar("F", bound=Scorer)

CHOICE = "choice"  # not a function: the answer is the choice the model finds likeliest, see evaluation
BUILT_IN = frozenset({"exact", "contains_one", "numeric"})

_scorers: dict[str, Scorer] = {}


class Unscored(SharpenError):  # noqa: N818 - it says what the reply is
    """This reply cannot be judged; raised by a scorer, kept as the score's reason."""


def scorer(function: F) -> F:
    """Register a function as a scorer, under its own name.

    Raises: ConfigError when another function has that name.
    """
    name = function.__name__
    known = _scorers.get(name)
    if name == CHOICE or (known is not None and _origin(known) != _origin(function)):
        raise ConfigError(f"There already is a scorer '{name}'.", "rename the function")
    _scorers[name] = function
    return function


def find_scorer(name: str) -> Scorer:
    """Return a scorer by its name, or by "module:attr", which imports the module first.

    What "module:attr" names must be decorated with `@scorer`: suite files are data, and may not call anything else.
    Raises: ConfigError.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        if name in _scorers:
            return _scorers[name]
        near = difflib.get_close_matches(name, [*_scorers, CHOICE], n=1)
        guess = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(_scorers))}, {CHOICE}"
        raise ConfigError(f"There is no scorer '{name}'.", guess)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"The scorer '{name}' cannot be imported: {error}", "check the module's name") from error
    if not any(found is known for known in _scorers.values()):
        raise ConfigError(f"'{name}' is not a scorer.", "decorate it with @scorer")
    return found  # type: ignore[no-any-return]


def grade(
    function: Scorer, reply: str | None, reference: str, choices: Sequence[str] = ()
) -> tuple[float | None, str | None]:
    """Return a scorer's value of a reply, or None with the reason: what a scorer raises is a reason, not a crash."""
    if reply is None:
        return None, "there is no reply"
    try:
        if "choices" in inspect.signature(function).parameters:
            value: Any = function(reply, reference, choices=choices)
        else:
            value = function(reply, reference)
    except Unscored as error:
        return None, error.what
    except Exception as error:
        return None, f"the scorer failed: {type(error).__name__}: {error}"[:500]
    return checked(value)


def checked(value: Any) -> tuple[float | None, str | None]:
    """Return a scorer's raw value as a float from 0 to 1, or None with the reason."""
    if value is None:
        return None, "the scorer gave no value"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None, f"the scorer gave {value!r}, not a number"[:500]
    if not math.isfinite(number) or not 0 <= number <= 1:
        return None, f"the scorer gave {number:g}; scores go from 0 to 1"
    return number, None


def _origin(function: Scorer) -> tuple[str, str]:
    return function.__module__, function.__qualname__


@scorer
def exact(reply: str, reference: str) -> float:
    """Return 1 if reply and reference are the same text, white space at both ends aside; case and full stops count.

    >>> exact(" Paris\\n", "Paris"), exact("paris", "Paris"), exact("Paris.", "Paris")
    (1.0, 0.0, 0.0)
    """
    return float(reply.strip() == reference.strip())


@scorer
def contains_one(reply: str, reference: str, choices: Sequence[str] = ()) -> float:
    """Return 1 if the reference is the only one of the choices that occurs in the reply, as whole words, in any case.

    Where one choice is part of another, the longer one is what occurred.

    >>> contains_one("I'd say billing.", "billing", ["billing", "sales"])
    1.0
    >>> contains_one("billing or sales", "billing", ["billing", "sales"])
    0.0
    """
    wanted = reference.strip().casefold()
    names = {choice.strip().casefold() for choice in choices} | {wanted}
    names.discard("")
    if not wanted:
        raise Unscored("the reference is empty")
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    found = {match.group() for match in re.finditer(rf"(?<!\w)(?:{longest_first})(?!\w)", reply.casefold())}
    return float(found == {wanted})


# A sign counts only where it is not an operator after a word or number; 300 digits keep big integers cheap to read.
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,300})"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w.)])[-−])?(?P<whole>{_DIGITS})?"  # noqa: RUF001 - the true minus sign
    r"(?:(?<=[0-9])/(?P<below>[0-9]{1,300})|(?P<decimals>\.[0-9]{1,300}))?(?:(?<=[0-9])[eE](?P<power>[-+]?[0-9]{1,3}))?"
)
_TAIL_CHARS = 10_000  # chosen: a final number stands near the end; keeps the search short on endless replies


def last_number(text: str) -> Fraction | None:
    """Return the last number in a text: thousands commas, minus signs, decimals, fractions and exponents are read.

    >>> last_number("so 1,200 - 3.5 = -1/2."), last_number("none")
    (Fraction(-1, 2), None)
    """
    last = None
    for match in _NUMBER.finditer(text[-_TAIL_CHARS:]):
        if match["whole"] or match["decimals"]:
            last = match
    if last is None:
        return None
    value = Fraction((last["whole"] or "0").replace(",", "") + (last["decimals"] or ""))
    if last["below"]:
        below = int(last["below"])
        if below == 0:
            return None
        value /= below
    value *= Fraction(10) ** int(last["power"] or 0)
    return -value if last["sign"] else value


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
