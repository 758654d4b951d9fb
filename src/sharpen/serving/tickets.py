"""What a caller of the router holds: a promise of an answer, and the answer.

In: a job. Out: a future. Must not know how the job is done.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from sharpen.errors import BoundaryError
from sharpen.models.engine import Generation, Job


class Overloaded(BoundaryError):  # noqa: N818 - named for the state, as Refused and NotFound are
    """Too many requests wait already. Try again in a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version wrote. `refused` tells that the engine did not take the prompt: the client's fault."""

    generation: Generation
    version_id: str
    refused: bool = False


class Ticket(Future[Answer]):
    """A promised answer; `version_id` is known at once. To give it up, call `Router.cancel`."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self.version_id = job.version_id
        self.set_running_or_notify_cancel()  # from here on only the worker settles it
