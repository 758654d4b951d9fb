"""What a suite's spec says: where it comes from, and the settings after its question mark.

In: `SOURCE?key=value&key=value`. Out: `Spec`. Must not know what any source does with its settings.

Settings of every source: `train`, `dev`, `gate`, `vault` (shares, 0-1, adding up to 1), `scorer` and `kind`. A source
takes the rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sharpen.errors import ConfigError
from sharpen.verify.cases import KINDS, TIERS, Kind, Shares, Tier, shares_fault

COMMON = (*TIERS, "scorer", "kind")


@dataclass(frozen=True)
class Spec:
    """A source, and how the user wants it."""

    source: str
    shares: Shares | None = None
    scorer: str | None = None
    kind: Kind | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def only(self, known: Iterable[str]) -> Mapping[str, str]:
        """Return the source's own settings. Raises: ConfigError with the nearest name when one is unknown."""
        known = tuple(known)
        for key in self.settings:
            if key not in known:
                raise ConfigError(f"{self.source} has no setting '{key}'.", nearest(key, (*known, *COMMON)))
        return self.settings


def parse_spec(text: str) -> Spec:
    """Read a spec. Raises: ConfigError."""
    source, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"{text}: {error}", f"{source}?key=value&key=value") from error
    settings = dict(pairs)
    if len(settings) != len(pairs):
        raise ConfigError(f"{text}: a setting is there twice.", "name each once")
    given = {tier: settings.pop(tier) for tier in TIERS if tier in settings}
    kind = settings.pop("kind", None)
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"{source} has no kind '{kind}'.", nearest(kind, KINDS))
    return Spec(
        source,
        shares=_shares(source, given) if given else None,
        scorer=settings.pop("scorer", None),
        kind=kind,
        settings=settings,
    )


def _shares(source: str, given: Mapping[Tier, str]) -> dict[Tier, float]:
    try:
        shares = {tier: float(share) for tier, share in given.items()}
    except ValueError as error:
        raise ConfigError(f"{source}: a tier's share is no number: {error}", "?dev=0.2&gate=0.5&vault=0.3") from error
    fault = shares_fault(shares)
    if fault:
        raise ConfigError(f"{source}: {fault}.", "?dev=0.2&gate=0.5&vault=0.3")
    return shares


def nearest(name: str, known: Iterable[Any]) -> str:
    """Return what to type instead of a name that does not exist."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(names)}"
