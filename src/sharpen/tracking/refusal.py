"""Whatever a tracker raises becomes one kind of error: a mirror must never stop the loop.

In: a block that calls a tracker. Out: TrackerError with what to do. Must not know the trackers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sharpen.errors import SharpenError, TrackerError

_LONGEST = 500  # chosen: characters; a server's page of HTML helps nobody


@contextlib.contextmanager
def refusals_of(tracker: str, next_step: str, place: object = "") -> Iterator[None]:
    """Turn what goes wrong in the block into a TrackerError; our own errors go through as they are."""
    try:
        yield
    except SharpenError:
        raise
    except Exception as error:  # trackers raise whatever their libraries raise
        where = f", at {place}" if place else ""
        raise TrackerError(f"{tracker} refused{where}: {error}"[:_LONGEST], next_step) from error
