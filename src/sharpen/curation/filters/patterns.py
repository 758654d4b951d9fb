"""Words that are nobody's business: personal data, secrets, and orders to the model that hide in data.

In: candidates. Out: those that hold a pattern, with its name and never with what it found. Must not know what a person
would call personal: patterns see the form alone, and their checksums where there are any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sharpen.curation.candidate import Candidate, turns
from sharpen.curation.filters.verdicts import Reasons
from sharpen.curation.plan import Plan
from sharpen.private_words import PERSONAL, SECRETS, Patterns, first_found

# What attacks say, in the forms that public collections share. Source: Perez & Ribeiro 2022, Ignore Previous Prompt,
# arXiv:2211.09527, section 3; chat markers are those of the common templates.
_WHOSE = r"(?:all|any|previous|prior|above|earlier|preceding|system|your|the|these|those)"
_WHAT = r"(?:instruction|prompt|rule|direction|guideline|context|message|policy|policies)s?"
_FREE = (
    r"(?:dan|jailbr\w+|unrestricted|unfiltered|uncensored|developer mode"
    r"|(?:no|without(?: any)?) (?:rules?|restrictions?|filters?|limits?))"
)
_HIDDEN = r"(?:system (?:prompt|message)|(?:hidden|initial|original|secret) (?:prompt|instructions?))"
_ORDERS = {
    "override": rf"(?i)\b(?:ignore|disregard|forget|override|bypass)\b.{{0,30}}\b{_WHOSE}\b.{{0,20}}\b{_WHAT}\b",
    "new_role": rf"(?i)\b(?:you are now|act as|pretend (?:to be|you are)|from now on,? you)\b.{{0,60}}\b{_FREE}\b",
    "leak": rf"(?i)\b(?:reveal|print|repeat|show|output|leak|tell me)\b.{{0,50}}\b{_HIDDEN}",
    "markers": r"<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>",
    "trigger": r"(?i)\b(?:new|updated|real|actual) (?:system )?instructions?\s*:|\bend of (?:the )?(?:system )?prompt",
}
INJECTION = {name: re.compile(pattern) for name, pattern in _ORDERS.items()}
# One of these is in whatever any of them finds: most texts hold none, and are done.
_NEEDLES = (
    "ignore", "disregard", "forget", "override", "bypass", "you are now", "act as", "pretend", "from now on", "reveal",
    "print", "repeat", "show", "output", "leak", "tell me", "<|", "inst]", "sys>>", "instruction", "prompt",
)  # fmt: skip


def personal(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what holds an e-mail address, a phone, card, account or social security number."""
    return _held(batch, PERSONAL) if plan.settings.personal else [None] * len(batch)


def secrets(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what holds a key, a token or a password."""
    return _held(batch, SECRETS) if plan.settings.secrets else [None] * len(batch)


def injection(batch: Sequence[Candidate], plan: Plan) -> Reasons:
    """Drop what tries to talk the model out of its instructions; a system prompt may say anything."""
    if not plan.settings.injection:
        return [None] * len(batch)
    reasons: Reasons = []
    for one in batch:
        text = _text(one, system=False)
        low = text.lower()
        # Beyond ASCII, letters are equal that lower() keeps apart: there the patterns are asked at once.
        is_suspect = not text.isascii() or any(needle in low for needle in _NEEDLES)
        found = (name for name, pattern in INJECTION.items() if pattern.search(text)) if is_suspect else iter(())
        reasons.append(next(found, None))
    return reasons


def _held(batch: Sequence[Candidate], patterns: Patterns) -> Reasons:
    return [first_found(_text(one, system=True), patterns) for one in batch]


def _text(one: Candidate, *, system: bool) -> str:
    said = [content for role, content in turns(one.prompt) if system or role != "system"]
    return "\n".join([*said, one.answers])
