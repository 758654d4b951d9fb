"""Scorers by name, and what becomes of what they return.

In: functions, texts. Out: a value, or None with the reason: unscored is not 0. Must not know suites, models or any
one scorer.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sharpen.errors import ConfigError, SharpenError
from sharpen.records import Message

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
    function: Scorer,
    reply: str | None,
    reference: str,
    choices: Sequence[str] = (),
    messages: Sequence[Message] = (),
) -> tuple[float | None, str | None]:
    """Return a scorer's value of a reply, or None with the reason: what a scorer raises is a reason, not a crash.

    `choices` and `messages` (the prompt) are given to those scorers that have a parameter of that name.
    """
    if reply is None:
        return None, "there is no reply"
    try:
        wanted = _parameters(function)
        more = {"choices": choices, "messages": messages}
        value: Any = function(reply, reference, **{name: given for name, given in more.items() if name in wanted})
    except SharpenError as error:
        return None, error.what
    except Exception as error:
        return None, f"the scorer failed: {type(error).__name__}: {error}"[:500]
    return checked(value)


def checked(value: Any) -> tuple[float | None, str | None]:
    """Return a scorer's raw value as a float from 0 to 1, or None with the reason."""
    if value is None:
        return None, "the scorer gave no value"
    if isinstance(value, str | bytes):
        return None, f"the scorer gave {value!r}, not a number"[:500]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None, f"the scorer gave {value!r}, not a number"[:500]
    if not math.isfinite(number) or not 0 <= number <= 1:
        return None, f"the scorer gave {number:g}; scores go from 0 to 1"
    return number, None


@functools.lru_cache(maxsize=256)  # a signature costs ten times what a plain scorer does
def _parameters(function: Scorer) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _origin(function: Scorer) -> tuple[str, str]:
    return function.__module__, function.__qualname__
