"""What every record has: an id, a time, and names made of content.

In: plain values. Out: the models that the nouns derive from. Must not know any noun.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


def now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Return a time-ordered id: prefix, milliseconds since the epoch, 40 random bits, all in hexadecimal.

    >>> new_id("trc") < new_id("trc") or True
    True
    """
    return f"{prefix}_{int(time.time() * 1000):012x}{os.urandom(5).hex()}"


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of `value` as canonical JSON.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class Value(BaseModel):
    """A part of a record: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Value):
    """What every record has."""

    prefix: ClassVar[str] = "rec"
    subject_field: ClassVar[str | None] = None
    payload: ClassVar[frozenset[str]] = frozenset()
    blanked: ClassVar[frozenset[str]] = frozenset()  # optional words that read as erased, not as None, once they are
    volatile: ClassVar[frozenset[str]] = frozenset({"at"})

    id: str = Field(description="unique within its kind; never reused")
    at: datetime = Field(default_factory=now, description="when it was written, UTC")

    @property
    def subject(self) -> str | None:
        """The id this record is chiefly about; indexed by the store."""
        return getattr(self, self.subject_field) if self.subject_field else None
