"""Secrets and personal data are taken out of an exchange, and of what is said of it, before anything is written.

In: Traces and sayings. Out: the same, with `[email]` and the like where something was. Must not know the store.

The client still reads its answer as the model gave it: only what is kept is changed.
"""

from __future__ import annotations

from dataclasses import replace

from sharpen.capture.saying import Saying
from sharpen.config import CaptureSection
from sharpen.private_words import PERSONAL, SECRETS, Patterns, without
from sharpen.records import Trace


class Redaction:
    """Takes out what the settings name. What holds nothing of it comes back as it was."""

    def __init__(self, settings: CaptureSection) -> None:
        self._patterns: Patterns = {}
        if settings.redact_secrets:
            self._patterns |= SECRETS
        if settings.redact_personal:
            self._patterns |= PERSONAL

    def trace(self, trace: Trace) -> Trace:
        """Return an exchange without them."""
        messages = tuple(
            message.model_copy(update={"content": self._text(message.content)}) for message in trace.messages
        )
        update = {"messages": messages, "reply": self._maybe(trace.reply), "error": self._maybe(trace.error)}
        return trace.model_copy(update=update) if self._patterns else trace

    def saying(self, said: Saying) -> Saying:
        """Return what was said without them."""
        if not self._patterns:
            return said
        correction, comment, sent = map(self._maybe, (said.correction, said.comment, said.sent))
        return replace(said, correction=correction, comment=comment, sent=sent)

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self._text(text)

    def _text(self, text: str) -> str:
        return without(text, self._patterns)
