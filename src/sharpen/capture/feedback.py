"""What someone says of a Trace becomes Feedback.

In: a rating, a correction or a comment, and who it is from. Out: a Feedback that is on disk. Must not know HTTP.

A client that got no answer sends the same again, with the same key: it is written once, and both calls return it.
"""

from __future__ import annotations

import math
from typing import Literal

from sharpen.errors import NotFound, Refused
from sharpen.records import Feedback, Source, Trace, content_hash, new_id
from sharpen.store import Store

_LONGEST_NAME = 128  # chosen: fits a UUID, an address or a digest; a name is not a text


class Conflict(Refused):
    """The name is taken by something else."""


def record_feedback(
    store: Store,
    *,
    trace_id: str,
    rating: float | None = None,
    correction: str | None = None,
    comment: str | None = None,
    better_than: str | None = None,
    source: str | None = None,
    source_type: Literal["human", "program"] | None = None,
    key: str | None = None,
) -> Feedback:
    """Write down what was said of a Trace; it is on disk when this returns.

    `rating` runs from -1 (bad) to 1 (good). `better_than` names another Trace of the same prompt, whose reply is worse
    than this one's. `source` is an opaque name; `source_type` says whether a person or a
    program bears it (a new name: a person). `key` is the client's own name for this feedback: the same key with the
    same content is the same Feedback.

    Raises: Refused when nothing or nonsense was said; NotFound when there is no such Trace; Conflict when the key came
    before with other content, or the source as another type; StoreError.
    """
    feedback = Feedback(
        id=new_id(Feedback.prefix) if key is None else f"{Feedback.prefix}_{content_hash(['key', key], 32)}",
        trace_id=trace_id,
        rating=rating,
        correction=correction,
        comment=comment,
        better_than=better_than,
        source_id=None if source is None else f"{Source.prefix}_{content_hash(['source', source], 32)}",
    )
    _check(feedback, ("trace_id", trace_id), ("better_than", better_than), ("source", source), ("id", key))
    _check_exchanges(store, trace_id, better_than)
    origin = _source(store, feedback.source_id, source, source_type) if feedback.source_id and source else None
    try:
        store.append(*[record for record in (origin, feedback) if record])
    except Refused as error:
        raise Conflict(
            f"Feedback '{key}' was given before, with other content.", "use a new id for new feedback"
        ) from error
    return feedback


def _check_exchanges(store: Store, trace_id: str, worse_id: str | None) -> None:
    known = {trace.id: trace for trace in store.find(Trace, ids=[trace_id, *([worse_id] if worse_id else [])])}
    for name in (trace_id, worse_id):
        if name is not None and name not in known:
            raise NotFound(
                f"There is no exchange '{name}'.",
                "use the `id` of a chat completion; with `traces = false` under [capture] none is kept",
            )
    if worse_id == trace_id or (worse_id and known[worse_id].messages != known[trace_id].messages):
        raise Refused(
            f"'{trace_id}' and '{worse_id}' are not two answers to one prompt.", "compare answers to the same messages"
        )


def _source(store: Store, source_id: str, name: str, kind: Literal["human", "program"] | None) -> Source:
    """Return the one Source of this name: the one that is there, or a new one."""
    known = store.find(Source, ids=[source_id])
    if not known:
        return Source(id=source_id, name=name, type=kind or "human")
    if kind not in (None, known[0].type):
        raise Conflict(f"The source '{name}' is known as a {known[0].type}.", "give a new source another name")
    return known[0]


def _check(feedback: Feedback, *names: tuple[str, str | None]) -> None:
    rating, words = feedback.rating, (("correction", feedback.correction), ("comment", feedback.comment))
    if rating is None and feedback.better_than is None and not any(text is not None for _, text in words):
        raise Refused("The feedback says nothing.", "give a rating, a correction, a comparison or a comment")
    if rating is not None and not (math.isfinite(rating) and -1 <= rating <= 1):
        raise Refused(f"The rating is {rating}.", "give a number from -1 (bad) to 1 (good)")
    for what, text in words:
        if text is not None and (not text.strip() or not is_plain(text)):
            raise Refused(f"The {what} is blank or not valid text.", f"leave `{what}` out, or write something")
    for what, name in names:
        if name is not None and not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
            raise Refused(
                f"The {what} cannot be used as a name.", f"use 1 to {_LONGEST_NAME} printable characters for `{what}`"
            )


def is_plain(text: str) -> bool:
    """Tell whether every database and tokenizer can hold the text: no NUL, no half of a surrogate pair.

    >>> is_plain("naïve 🙂"), is_plain("a\\x00b"), is_plain("\\ud800")
    (True, False, False)
    """
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
