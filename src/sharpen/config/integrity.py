"""How feedback is weighed: whose words count how much.

In: plain values. Out: the section `[integrity]`. Must not know how weights are computed.
"""

from __future__ import annotations

from pydantic import Field

from sharpen.config.section import Section
from sharpen.errors import ConfigError


class IntegritySection(Section):
    """Whether feedback is weighed, and against which population; off by default."""

    weigh: bool = Field(
        default=False, description="weigh feedback: reliability, copies, brigades, loud sources, raking"
    )
    people: str = Field(
        default="",
        description="JSON Lines of sources: source, consent, and a value per facet that they declared; empty: none",
    )
    targets: dict[str, float] = Field(
        default_factory=dict, description="share that the feedback of a facet's value ought to have, as facet=value"
    )
    meaning: float = Field(
        default=0.0, ge=0, le=1, description="cosine at which two comments say the same, by [memory] embeddings; 0: off"
    )

    def by_facet(self) -> dict[str, dict[str, float]]:
        """Return the targets as facet -> value -> share. Raises: ConfigError for a key that is not facet=value."""
        found: dict[str, dict[str, float]] = {}
        for key, share in self.targets.items():
            facet, sign, value = key.partition("=")
            if not (facet and sign and value):
                raise ConfigError(f"[integrity] targets: '{key}' is not facet=value.", '"region=north" = 0.5')
            found.setdefault(facet, {})[value] = share
        return found
