"""What earlier critiques found is not lost: one that still stands is not made again, and a right answer is kept.

In: critiques of earlier cycles, this cycle's items, a verifier. Out: which traces need no new look; items with the
right answer of an earlier cycle where the new search found none. Must not know the store, or how a method searches.

A critique stands while the same version would make it with the same settings, and the verifier accepts today what it
ended with: another correction, case or scorer ends it. A search that samples may fail where it succeeded before; a new
version's search may as well. What was found then and is still right stays, as a step named "earlier".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import Method
from sharpen.records import Critique, content_hash


def basis_of(method: Method, version_id: str) -> str:
    """Return the hash of everything but the answer that a critique depends on: who makes it, and how."""
    principles = [one.model_dump() for one in method.scene.constitution]
    settings = method.settings.model_dump(exclude={"max_error_share", "self_labels"})
    return content_hash((version_id, method.name, settings, method.rounds, method.samples, principles))


def accepted(critiques: Iterable[Critique]) -> dict[str, Critique]:
    """Return, per trace, the newest critique that ended with an answer which a verifier accepted."""
    return {one.trace_id: one for one in critiques if _answer(one) is not None}


def stands(method: Method, item: Item, earlier: Critique | None, basis: str) -> bool:
    """Tell whether the critique of an earlier cycle may take the place of a new one."""
    if earlier is None or earlier.basis != basis or earlier.draft != item.draft:
        return False
    return _is_right(method, item, _answer(earlier))


def carry(method: Method, items: Sequence[Item], earlier: dict[str, Critique]) -> None:
    """Give items that ended without a right answer the one of an earlier cycle, if the verifier still accepts it."""
    for item in items:
        known = earlier.get(item.trace_id)
        answer = _answer(known) if known is not None else None
        # What failed keeps its error: the newest critique that did not fail is what counts, and that is the known one.
        if answer is None or item.error is not None or item.stop_reason == "verified" or answer == item.draft:
            continue
        if _is_right(method, item, answer):
            item.take(answer, item.note("earlier", answer))
            item.revision, item.revision_score, item.scored_by = answer, ACCEPTED, "verifier"
            item.stop_reason = "verified"


def _answer(critique: Critique) -> str | None:
    """Return the answer that the verifier accepted, or None where it accepted none."""
    if critique.error is not None or critique.stop_reason != "verified":
        return None
    if (critique.draft_score or 0.0) >= ACCEPTED:
        return critique.draft
    is_right = critique.scored_by == "verifier" and (critique.revision_score or 0.0) >= ACCEPTED
    return critique.revision if is_right else None


def _is_right(method: Method, item: Item, answer: str | None) -> bool:
    """Ask the verifier of today; one that breaks accepts nothing, and the new search will record that."""
    if answer is None:
        return False
    try:
        return (item.score(method.scene.suite, answer) or 0.0) >= ACCEPTED
    except Exception:  # a scorer may raise anything
        return False
