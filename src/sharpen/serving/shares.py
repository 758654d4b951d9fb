"""Which of two versions answers a session, while a canary has a share of the traffic.

In: a Deployment, a session's name. Out: whether the canary answers. Must not know why there is a canary.

A session's place between 0 and 1 is the hash of its name and the canary's: it stays with its version as long as the
share stays, goes over at most once as the share grows, and another canary draws other sessions. A request without a
session draws by itself.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from sharpen.records import Deployment

_BYTES = 8  # bytes of the hash that are used: 2**64 places


@dataclass(frozen=True, slots=True)
class Split:
    """A version that answers a share of the traffic, 0-1, beside the champion."""

    version_id: str
    share: float

    def takes(self, session: str | None) -> bool:
        """Tell whether the canary answers this session."""
        return (random.random() if session is None else place(session, self.version_id)) < self.share  # noqa: S311


@dataclass(frozen=True, slots=True)
class Serving:
    """The deployment in force, swapped as a whole."""

    deployment_id: str
    version_id: str
    previous_id: str | None
    split: Split | None = None

    def version_for(self, session: str | None) -> str:
        """Return who answers a session."""
        return self.split.version_id if self.split and self.split.takes(session) else self.version_id

    @property
    def shares(self) -> dict[str, float]:
        """The share of the traffic per version, 0-1."""
        split = {self.split.version_id: self.split.share} if self.split else {}
        return {self.version_id: 1.0 - sum(split.values())} | split

    @property
    def needed(self) -> set[str]:
        """The versions that must stay loaded; the one before, so that an undo is quick."""
        return {self.previous_id or "", *self.shares}


def place(session: str, version_id: str) -> float:
    """Return where a session lies between 0 and 1 for this canary."""
    name = f"{version_id}\n{session}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=_BYTES).digest(), "big") / float(2 ** (8 * _BYTES))


def split_of(deployment: Deployment) -> Split | None:
    """Return the canary of a Deployment, or None where one version has it all."""
    others = {name: share for name, share in deployment.shares.items() if name != deployment.version_id and share > 0}
    if not others:
        return None
    version_id, share = max(others.items(), key=lambda one: one[1])
    return Split(version_id, share)
