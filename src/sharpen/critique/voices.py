"""Who speaks in a critique: our own engine, or any LangChain chat model.

In: requests. Out: what was said, or why nothing was; one request that fails is data of that request. Must not know why
they are asked.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sharpen.errors import ConfigError
from sharpen.models.engine import Engine, Prompt, Request
from sharpen.plugins import part

KEY_ENV = "SHARPEN_CRITIC_API_KEY"  # its own name, so that a key for one provider is never sent to another
_TIMEOUT_S = 120.0  # chosen: a page of text from a busy server


@dataclass(frozen=True, slots=True)
class Said:
    """An answer and what it cost, or an error."""

    text: str
    tokens: int = 0
    prompt_tokens: int = 0
    error: str | None = None
    cut: bool = False  # it ended at its length, not at its end


class Voice(Protocol):
    """Somebody who answers many prompts together."""

    def ask(self, requests: Sequence[Request]) -> list[Said]:
        """Answer every request, in order; nothing is raised."""
        ...

    def prefer(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]] | None:
        """Return, per prompt, how likely each of its options is among them (sums to 1); None: this voice cannot tell.

        A row that failed holds NaN.
        """
        ...


class EngineVoice:
    """A version of the in-process model; the calls of all traces go into one batch."""

    def __init__(self, engine: Engine, version_id: str) -> None:
        self.engine, self.version_id = engine, version_id

    def ask(self, requests: Sequence[Request]) -> list[Said]:
        """Answer in one batch; where that fails, one by one, so that a bad request fails alone."""
        try:
            replies = self.engine.generate(requests, self.version_id)
        except Exception as error:
            if len(requests) == 1:
                return [Said("", error=f"{type(error).__name__}: {error}")]
            return [self.ask([request])[0] for request in requests]
        return [
            Said(one.text, one.completion_tokens, one.prompt_tokens, one.error, one.finish_reason == "length")
            for one in replies
        ]

    def prefer(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]] | None:
        """Compare the options by their log-probability."""
        if not prompts:
            return []
        try:
            rows = self.engine.logprobs(prompts, options, self.version_id)
        except Exception:
            if len(prompts) == 1:
                return [[math.nan] * len(options[0])]
            pairs = zip(prompts, options, strict=True)
            return [row for prompt, words in pairs for row in self.prefer([prompt], [words]) or []]
        return [_softmax(row) for row in rows]


class ChatVoice:
    """A LangChain chat model. With `sends_limits`, length and temperature go with each call."""

    def __init__(self, model: Any, *, sends_limits: bool = False) -> None:
        self.model = model
        self._sends_limits = sends_limits

    def ask(self, requests: Sequence[Request]) -> list[Said]:
        """Answer with LangChain's `batch`, one batch per set of limits."""
        said: dict[int, Said] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, request in enumerate(requests):
            limits = (request.max_new_tokens, request.temperature) if self._sends_limits else ()
            groups.setdefault((request.stop, *limits), []).append(place)
        for (stop, *sent), places in groups.items():
            options = dict(zip(("max_tokens", "temperature"), sent, strict=False))
            prompts = [_turns(requests[place].messages) for place in places]
            try:
                replies = self.model.batch(prompts, stop=list(stop) or None, return_exceptions=True, **options)
            except Exception as error:
                replies = [error] * len(places)
            said |= {place: _said(reply) for place, reply in zip(places, replies, strict=True)}
        return [said[place] for place in range(len(requests))]

    def prefer(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]] | None:
        """Say that a chat model shows no log-probabilities."""
        return None


def open_voice(spec: str, own: Voice, key: str = "critic") -> Voice:
    """Return who `spec` names: "self" is `own`; "openai:http://host/v1#model"; "module:attr" is a LangChain chat model.

    `key` is the key of the configuration that says so. Raises: ConfigError; MissingExtra.
    """
    where = f"[critique] {key} = '{spec}'"
    if spec == "self":
        return own
    if spec.startswith("openai:"):
        address, _, name = spec.removeprefix("openai:").partition("#")
        if not (address.startswith(("http://", "https://")) and name):
            raise ConfigError(
                f"{where} needs an address and a model.", f'{key} = "openai:http://127.0.0.1:8000/v1#name"'
            )
        key = os.environ.get(KEY_ENV, "none")
        chat = part("langchain_openai").ChatOpenAI
        return ChatVoice(chat(model=name, base_url=address, api_key=key, timeout=_TIMEOUT_S), sends_limits=True)
    module, colon, attribute = spec.partition(":")
    if not colon:
        raise ConfigError(f"{where} names nobody.", "self, openai:http://host/v1#model or module:attr")
    try:
        found = getattr(importlib.import_module(module), attribute)
        is_maker = isinstance(found, type) or (callable(found) and not hasattr(found, "batch"))
        model = found() if is_maker else found
    except Exception as error:  # the module is the user's own, and may fail in its own way
        raise ConfigError(f"{where} cannot be had: {type(error).__name__}: {error}", "check module and name") from error
    return voice_of(model)


def voice_of(model: Any) -> Voice:
    """Return a LangChain chat model's voice; our own engine behind one is asked in batches. Raises: ConfigError."""
    engine: Any = getattr(model, "engine", None)
    if hasattr(engine, "generate") and hasattr(model, "version_id"):
        return EngineVoice(engine, model.version_id)
    if not hasattr(model, "batch"):
        raise ConfigError(f"{type(model).__name__} is not a LangChain chat model.", "give one that has `batch`")
    return ChatVoice(model)


def _turns(messages: Prompt) -> list[Any]:
    kinds = part("langchain_core.messages")
    made = {"system": kinds.SystemMessage, "user": kinds.HumanMessage, "assistant": kinds.AIMessage}
    # A tool's result has no call before it here; LangChain would refuse it as a tool message.
    return [made.get(message.role, kinds.HumanMessage)(message.content) for message in messages]


def _said(reply: Any) -> Said:
    if isinstance(reply, BaseException):
        return Said("", error=f"{type(reply).__name__}: {reply}"[:500])
    text = str(reply.text)
    used = getattr(reply, "usage_metadata", None) or {}
    # Without a count, words: a bound that is roughly kept is better than none.
    cut = (getattr(reply, "response_metadata", None) or {}).get("finish_reason") == "length"
    return Said(text, int(used.get("output_tokens", len(text.split()))), int(used.get("input_tokens", 0)), cut=cut)


def _softmax(row: Sequence[float]) -> list[float]:
    best = max(row)
    weights = [math.exp(value - best) if math.isfinite(best) else math.nan for value in row]
    total = sum(weights)
    return [weight / total for weight in weights]
