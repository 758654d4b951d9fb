"""Named places where a test may kill the process, to prove that the next start goes on from there.

In: the environment variable SHARPEN_FAILPOINT, `name` or `name:nth` (the nth time the name is passed, from 1).
Out: nothing, or SIGKILL to ourselves. Must not know any other module. Without the variable a call costs one
dictionary look-up.
"""

from __future__ import annotations

import os
import signal

_VARIABLE = "SHARPEN_FAILPOINT"
_passed: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Kill this process with SIGKILL if the environment asks for exactly this place.

    >>> failpoint("nothing asked for")
    """
    wanted = os.environ.get(_VARIABLE)
    if wanted is None:
        return
    target, _, nth = wanted.partition(":")
    if target == "?":  # a listing run: append the name, so that a test can enumerate every place
        with open(nth, "a", encoding="utf-8") as listing:  # noqa: PTH123 - no Path on this path: keep it bare
            listing.write(name + "\n")
        return
    if target != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
