"""What one check of the doctor found, and the guard around a check.

In: a check. Out: findings, whatever the check raised. Must not know what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sharpen.config import Config
from sharpen.errors import SharpenError


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. "note" is worth knowing; "fail" keeps a cycle from running."""

    name: str
    state: Literal["ok", "note", "fail"]
    found: str
    next_step: str = ""


Check = Callable[[Config], Iterable[Finding]]


def guarded(name: str, check: Check, config: Config) -> Iterator[Finding]:
    """Turn whatever a check raises into a finding, without an arrow to type where it found all well."""
    try:
        for one in check(config):
            yield Finding(one.name, one.state, one.found) if one.state == "ok" else one
    except SharpenError as error:
        yield Finding(name, "fail", error.what, error.next_step)
    except Exception as error:
        yield Finding(name, "fail", f"could not be checked: {type(error).__name__}: {error}", "see the message")
