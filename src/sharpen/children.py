"""A child process must not outlive the one that started it.

In: nothing, or a command. Out: a bond that the kernel keeps. Must not know what the child does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_VARIABLE = "SHARPEN_CHILD_OF"
_PR_SET_PDEATHSIG = 1  # Source: prctl(2)


def bound_environment(**more: str) -> dict[str, str]:
    """Return an environment that tells a child of ours whose child it is."""
    return os.environ | more | {_VARIABLE: str(os.getpid())}


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, if it was started with `bound_environment`."""
    parent = os.environ.pop(_VARIABLE, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before we could ask
        sys.exit(1)
