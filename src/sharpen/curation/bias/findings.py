"""What a check found: a figure for a segment, what it would be if the segment were like all, and how sure that is.

In: figures. Out: `Finding`, and one sentence for it. Must not know any check.
"""

from __future__ import annotations

from typing import Any, NamedTuple

LEAST = 20  # rows, or people, below which a segment is not spoken of. Source: k of k-anonymity, Sweeney 2002, here 20
ALPHA = 0.05  # chosen: chance that a check finds anything where there is nothing; shared by all that it looks at


class Finding(NamedTuple):
    """A segment that differs: `value` is its figure, `expected` that of all, surely beyond what is allowed."""

    check: str
    facet: str
    segment: str
    value: float
    expected: float
    low: float
    high: float
    rows: int

    def sentence(self) -> str:
        """Say it in words."""
        where = f"{self.facet} '{self.segment}'"
        said = f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f}), where {self.expected:.2f} is expected"
        return f"{self.check} in {where}: {said}; {self.rows} rows"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, rounded."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in self._asdict().items()}
