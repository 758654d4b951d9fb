"""Which algorithm fits the data, and why.

In: the configured method, a snapshot's rows, the prompts that a verifier can grade. Out: a method and the reason, in a
sentence. Must not know models, suites or how anything is trained.

What `auto` does, from the strongest evidence down: imitate what people and verifiers said is right; else learn which
of two answers is better; else from single ratings; else from a verifier alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sharpen.records import Method

PREFERENCES = frozenset({"comparison", "samples"})  # kinds of evidence that say better, not right
MOSTLY = 0.5  # chosen: below it, most of what is known is which answers are bad


class Choice(NamedTuple):
    """A method, and why."""

    method: Method
    reason: str


def choose_method(
    configured: str,
    rows: Sequence[Mapping[str, Any]],
    prompts: Sequence[Any] = (),
    counts: Mapping[str, int] | None = None,
) -> Choice:
    """Return the configured method, or what `auto` takes for these rows.

    `counts` are examples per origin; where they are not known, an answer to learn is one to imitate.
    """
    if configured != "auto":
        return Choice(configured, f"[training] method = '{configured}' says so")  # type: ignore[arg-type]
    of = len(rows)
    targets = sum(row.get("chosen") is not None for row in rows)
    pairs = sum(row.get("chosen") is not None and row.get("rejected") is not None for row in rows)
    compared = min(sum((counts or {}).get(kind, 0) for kind in PREFERENCES), pairs)
    right, bad = targets - compared, of - targets
    ladder = (
        (right >= MOSTLY * of, "sft", f"{right} of {of} rows hold an answer that was said to be right: imitate it"),
        (
            pairs >= MOSTLY * of,
            "rpo",
            f"{pairs} of {of} rows say which of two answers is better, and few which is right",
        ),
        (targets and bad, "kto", f"{bad} of {of} rows only say that an answer is bad: learn from each rating"),
        (targets, "sft", f"{targets} of {of} rows hold an answer to imitate"),
    )
    for fits, method, reason in ladder if targets else ():
        if fits:
            return Choice(method, reason)  # type: ignore[arg-type]
    if prompts:
        return Choice("grpo", f"no answer is known to be right, and a verifier can grade {len(prompts)} prompts")
    return Choice("kto", f"all {of} rows only say that an answer is bad")
