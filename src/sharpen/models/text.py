"""Tokens become text, piece by piece, and a stop string ends it before it is seen.

In: the tokens written so far. Out: new text, and whether a stop string was met. Must not know the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_UNFINISHED = "\ufffd"  # what a tokenizer gives for the first bytes of a character that is not complete yet
_WINDOW_TOKENS = 16  # chosen: tokens that are decoded again each time; more than any character is split into


def whole(text: str) -> str:
    """Leave out a character at the end of which only the first bytes were written."""
    return text.rstrip(_UNFINISHED)


class TextStream:
    """The text of one answer as it grows."""

    def __init__(
        self, decode: Callable[[Sequence[Any]], str], stop: Sequence[str], on_text: Callable[[str], None] | None
    ) -> None:
        self._decode = decode
        self._stop = tuple(s for s in stop if s)
        self._held = max((len(s) for s in self._stop), default=1) - 1  # could be the beginning of a stop string
        self._on_text = on_text
        self._ids: list[Any] = []  # tokens, or pieces of text where a server decodes them
        self._text = ""
        self._settled = 0  # tokens whose text cannot change any more
        self._settled_text = ""
        self._sent = 0
        self._stopped = False

    def push(self, ids: Sequence[Any]) -> bool:
        """Take all tokens written so far. Returns True when a stop string was met."""
        self._ids = list(ids)
        if self._on_text is None and not self._stop:
            return False
        self._grow()
        self._look_for_stop()
        self._send(len(self._text) if self._stopped else len(self._text) - self._held)
        return self._stopped

    def end(self) -> str:
        """Send what was held back and return the whole text."""
        if not self._stopped:
            self._text = whole(self._decode(self._ids))
            self._look_for_stop()
        self._send(len(self._text))
        return self._text

    def _grow(self) -> None:
        """Decode only the last few tokens: a long answer must not cost the square of its length."""
        window = self._decode(self._ids[self._settled :])
        if window.endswith(_UNFINISHED):
            return
        self._text = self._settled_text + window
        # A token's text may depend on the one before it (leading spaces), so the last token stays in the window.
        if len(self._ids) - self._settled > _WINDOW_TOKENS:
            last = self._decode(self._ids[-1:])
            if last and window.endswith(last) and not last.startswith(_UNFINISHED):
                self._settled_text = self._text[: len(self._text) - len(last)]
                self._settled = len(self._ids) - 1

    def _look_for_stop(self) -> None:
        """Cut the text at the first stop string in it."""
        for stop in self._stop:
            at = self._text.find(stop, max(0, self._sent - len(stop)))
            if at >= 0:
                self._text = self._text[:at]
                self._stopped = True

    def _send(self, until: int) -> None:
        if self._on_text is not None and until > self._sent:
            self._on_text(self._text[self._sent : until])
            self._sent = until
