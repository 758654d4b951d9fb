"""A part of the configuration file: what every section has in common.

In: plain values. Out: a frozen section, or an error. Must not know any section.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the file: frozen; unknown keys, wrong types and infinities are refused, never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
