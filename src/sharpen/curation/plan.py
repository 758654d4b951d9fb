"""What the filters need to know, as plain values that can go to another process.

In: settings, held-out cases, versions. Out: `Plan`. Must not know the filters, or where they run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sharpen.config import CurationSection
from sharpen.curation.heldout import HeldOut
from sharpen.records import Case, content_hash


@dataclass(frozen=True)
class Plan:
    """How to curate: equal plans and equal evidence give equal snapshots."""

    settings: CurationSection
    seed: int = 0
    held_out: tuple[tuple[str, str], ...] = ()  # per held-out case: the question, and everything that was said
    versions: tuple[str, ...] = ()  # oldest first

    @classmethod
    def of(cls, settings: CurationSection, cases: Sequence[Case], seed: int, versions: Sequence[str] = ()) -> Plan:
        """Return the plan; only dev, gate and vault cases are held out."""
        held = dict.fromkeys(
            (
                next((turn.content for turn in reversed(case.messages) if turn.role == "user"), ""),
                "\n".join(turn.content for turn in case.messages if turn.role != "system"),
            )
            for case in cases
            if case.tier != "train"
        )
        return cls(settings, seed, tuple(held), tuple(versions))

    @cached_property
    def index(self) -> HeldOut:
        """The held-out cases, ready to be looked up. Built once per process."""
        return HeldOut(self.held_out)

    @cached_property
    def age(self) -> dict[str, int]:
        """How many versions came after each version."""
        return {version: back for back, version in enumerate(reversed(self.versions))}

    def to_json(self) -> str:
        """Return the plan as text, for a worker in another process."""
        told = {
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "held_out": self.held_out,
            "versions": self.versions,
        }
        return json.dumps(told, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan back."""
        told = json.loads(text)
        return cls(
            CurationSection.model_validate(told["settings"]),
            told["seed"],
            tuple((question, said) for question, said in told["held_out"]),
            tuple(told["versions"]),
        )

    @property
    def digest(self) -> str:
        """Name the plan: what was made by another one is not taken up again."""
        return content_hash(self.to_json())
