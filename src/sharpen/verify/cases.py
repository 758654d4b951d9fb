"""Cases: how they are named, and which tier they fall into.

In: prompts and references. Out: `Case`. Must not know files, generators or scorers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, get_args

from sharpen.models.engine import Prompt
from sharpen.records import Case, Message, content_hash

Tier = Literal["train", "dev", "gate", "vault"]
TIERS: tuple[str, ...] = get_args(Tier)

# chosen: training needs the most; the gate decides, so it gets as much as the vault that reports.
_SHARES: tuple[tuple[Tier, float], ...] = (("train", 0.40), ("dev", 0.50), ("gate", 0.75), ("vault", 1.0))


def tier_of(cluster: str) -> Tier:
    """Return a cluster's tier by its hash: 40 % train, 10 % dev, 25 % gate, 25 % vault; the same for ever.

    >>> tier_of("7 + 8"), tier_of("8 + 7")
    ('vault', 'gate')
    """
    place = int.from_bytes(hashlib.sha256(cluster.encode(errors="surrogatepass")).digest()[:8], "big") / 2**64
    return next(tier for tier, below in _SHARES if place < below or tier == "vault")


def make_case(
    messages: Iterable[Message],
    reference: str,
    *,
    choices: Iterable[str] = (),
    cluster: str | None = None,
    tier: Tier | None = None,
) -> Case:
    """Return a Case named by its prompt. Without a cluster it stands alone, whatever its system message."""
    messages = tuple(messages)
    asked = [message.model_dump() for message in messages if message.role != "system"]
    cluster = content_hash(asked) if cluster is None else cluster
    return Case(
        id=case_id(messages),
        messages=messages,
        reference=reference,
        choices=tuple(choices),
        cluster=cluster,
        tier=tier or tier_of(cluster),
    )


def case_id(messages: Prompt) -> str:
    """Return the content hash that names a prompt."""
    return content_hash([message.model_dump() for message in messages])
