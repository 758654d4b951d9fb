"""What a client says of an answer, in any of the ways that clients have, and the Feedback it becomes.

In: plain values, as a client sent them. Out: checked `Saying`s, and Feedback records. Must not know HTTP or the store.

Ways to say it: a rating, a thumb (a rating of -1 or 1), a correction, a comparison with one other answer, a ranking of
several, a comment, what a verifier found, and what a user did without saying anything: asked again, copied, or sent a
text on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from sharpen.errors import Refused
from sharpen.records import Feedback, Signal, Source, Trace, content_hash, new_id

SourceType = Literal["human", "program"]

LONGEST_NAME = 128  # chosen: fits a UUID, an address or a digest; a name is not a text
_MOST_RANKED = 8  # chosen: 28 pairs; people cannot order more at a glance (Miller 1956: seven, plus or minus two)
_MOST_GROUPS = 16  # chosen: more labels than this single one person out


@dataclass(frozen=True, kw_only=True)
class Saying:
    """One thing that was said. `trace_id` names the exchange, or `exchange` does, by the client's own name for it.

    `rating` runs from -1 (bad) to 1 (good). `better_than` names another Trace of the same prompt, whose reply is worse
    than this one's; `ranking` names 2 to 8, best first, this one among them or none named. `signal` is what the user
    did; with "sent", `sent` is the text they sent on. `source` is an opaque name; `source_type` says whether a person
    or a program bears it (a new name: a person). `groups` are groups of people that the contributor belongs to and
    consented to have kept, as axis=group. `key` is the client's own name for this saying.
    """

    trace_id: str | None = None
    exchange: str | None = None
    rating: float | None = None
    correction: str | None = None
    comment: str | None = None
    better_than: str | None = None
    ranking: tuple[str, ...] = ()
    signal: Signal | None = None
    sent: str | None = None
    source: str | None = None
    source_type: SourceType | None = None
    groups: tuple[str, ...] = ()
    key: str | None = None

    @property
    def about(self) -> str:
        """The id of the Trace it is about."""
        if self.trace_id is None and self.exchange is not None:
            return trace_id_of(self.exchange)
        return self.trace_id or (self.ranking[0] if self.ranking else "")

    @property
    def source_id(self) -> str | None:
        """The id of the one Source of this name."""
        return None if self.source is None else f"{Source.prefix}_{content_hash(['source', self.source], 32)}"

    def check(self) -> None:
        """Raises: Refused when nothing or nonsense was said."""
        self._check_words()
        names = [("trace_id", self.trace_id), ("exchange", self.exchange), ("better_than", self.better_than)]
        names += [("source", self.source), ("id", self.key), *[("ranking", name) for name in self.ranking]]
        for what, name in names:
            if name is not None and not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
                raise Refused(
                    f"The {what} cannot be used as a name.",
                    f"use 1 to {LONGEST_NAME} printable characters for `{what}`",
                )
        if not self.about:
            raise Refused("The feedback names no exchange.", "give `trace_id`, or your own name for it as `exchange`")
        if self.trace_id is not None and self.exchange is not None:
            raise Refused("The feedback names its exchange twice.", "give `trace_id` or `exchange`")
        self._check_ranking()
        if len(self.groups) > _MOST_GROUPS or len({axis_of(one) for one in self.groups}) < len(self.groups):
            raise Refused("The groups are not one per axis.", f"give at most {_MOST_GROUPS}, as axis=group")
        for one in self.groups:
            axis, _, group = one.partition("=")
            if not (axis.strip() and group.strip() and len(one) <= LONGEST_NAME and one.isprintable()):
                raise Refused(f"The group {one[:40]!r} is not of the form axis=group.", 'e.g. "age=18-25"')

    def _check_words(self) -> None:
        words = (("correction", self.correction), ("comment", self.comment), ("sent", self.sent))
        said = (self.rating, self.better_than, self.signal, *[text for _, text in words])
        if all(one is None for one in said) and not self.ranking:
            raise Refused("The feedback says nothing.", "give a rating, a correction, a comparison or a comment")
        if self.rating is not None and not (math.isfinite(self.rating) and -1 <= self.rating <= 1):
            raise Refused(f"The rating is {self.rating}.", "give a number from -1 (bad) to 1 (good)")
        for what, text in words:
            if text is not None and (not text.strip() or not is_plain(text)):
                raise Refused(f"The {what} is blank or not valid text.", f"leave `{what}` out, or write something")
        if (self.signal == "sent") != (self.sent is not None):
            raise Refused('A text that was sent on is `sent` with `signal`: "sent".', "give both, or neither")
        if self.signal is not None and (self.rating is not None or self.correction is not None):
            raise Refused(
                "What the user did and what the user said are two pieces of feedback.", "send `signal` by itself"
            )

    def _check_ranking(self) -> None:
        if not self.ranking:
            return
        if not 2 <= len(set(self.ranking)) == len(self.ranking) <= _MOST_RANKED:
            raise Refused("The ranking is no order of answers.", f"give 2 to {_MOST_RANKED} different ids, best first")
        if self.better_than is not None or self.about not in self.ranking:
            raise Refused("The ranking and the rest do not speak of the same answers.", "send the ranking by itself")

    def feedback(self) -> list[Feedback]:
        """Return the records: one, or one per pair of a ranking, the saying's own words first."""
        common: dict[str, Any] = {"source_id": self.source_id, "groups": self.groups}
        own = Feedback(
            id=self._id(),
            trace_id=self.about,
            rating=self.rating,
            correction=self.correction,
            comment=self.comment,
            better_than=self.better_than,
            signal=self.signal,
            sent=self.sent,
            **common,
        )
        pairs = [
            Feedback(id=self._id(better, worse), trace_id=better, better_than=worse, **common)
            for better, worse in combinations(self.ranking, 2)
        ]
        says_more = any(one is not None for one in (self.rating, self.correction, self.comment))
        return [own, *pairs] if says_more or not pairs else pairs

    def _id(self, *pair: str) -> str:
        if self.key is None:
            return new_id(Feedback.prefix)
        return f"{Feedback.prefix}_{content_hash(['key', self.key, *pair], 32)}"


def trace_id_of(exchange: str) -> str:
    """Return the Trace's id of an exchange that its client named: known before the exchange is."""
    return f"{Trace.prefix}_{content_hash(['exchange', exchange], 32)}"


def axis_of(group: str) -> str:
    """Return the axis of a group.

    >>> axis_of("age=18-25")
    'age'
    """
    return group.partition("=")[0]


def is_plain(text: str) -> bool:
    """Tell whether every database and tokenizer can hold the text: no NUL, no half of a surrogate pair.

    >>> is_plain("naïve 🙂"), is_plain("a\\x00b"), is_plain("\\ud800")
    (True, False, False)
    """
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
