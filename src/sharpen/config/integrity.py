"""How feedback is weighed: whose words count how much.

In: plain values. Out: the section `[integrity]`. Must not know how weights are computed.
"""

from __future__ import annotations

from pydantic import Field

from sharpen.config.section import Section


class IntegritySection(Section):
    """Whether feedback is weighed, and against which population; off by default."""

    weigh: bool = Field(
        default=False, description="weigh feedback: reliability, copies, brigades, loud sources, raking"
    )
    people: str = Field(
        default="",
        description="JSON Lines of sources: source, consent, and a value per facet that they declared; empty: none",
    )
    targets: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="facet -> value -> share that the feedback ought to have"
    )
    meaning: float = Field(
        default=0.0, ge=0, le=1, description="cosine at which two comments say the same, by [memory] embeddings; 0: off"
    )
