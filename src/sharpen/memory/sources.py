"""Other people's retrievers as sources of context: LlamaIndex, Haystack, or any function.

In: names from the configuration, and a question. Out: passages as Memory records that nobody keeps, ready for
`compose.with_memories`. Must not know what the prompt is for.

A retriever's text is a stranger's: it goes into a prompt as quoted data under the same budget as a memory. One that
fails gives nothing, and is counted; the others go on.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sharpen.errors import ConfigError
from sharpen.records import Memory, content_hash

log = logging.getLogger("sharpen.memory")

Retrieve = Callable[[str, int], Sequence[str]]  # a question, how many passages -> texts, best first

_LONGEST = 20_000  # chosen: characters that are taken of one passage; a prompt holds far fewer
_MOST = 100  # chosen: passages that are taken of one source, whatever it returns


class Sources:
    """The sources that are plugged in. `failures` counts, by source, the times that one gave nothing but an error."""

    def __init__(self, retrievers: dict[str, Retrieve]) -> None:
        self._retrievers = retrievers
        self.failures: Counter[str] = Counter()

    @classmethod
    def of(cls, names: Sequence[str]) -> Sources:
        """Load `[memory] sources`: each "module:attr" is a retriever, a pipeline, or a function of (question, k).

        Raises: ConfigError for one that is not there or is none of these.
        """
        return cls({name: as_retrieve(_loaded(name), name) for name in names})

    def search(self, question: str, k: int) -> list[Memory]:
        """Return up to `k` passages: the best of each source first, then the second best of each, and so on."""
        found = [self._ask(name, question, k) for name in self._retrievers]
        ranks = range(max(map(len, found), default=0))
        mixed = [passages[rank] for rank in ranks for passages in found if rank < len(passages)]
        return list({passage.id: passage for passage in mixed}.values())[: max(k, 0)]

    def _ask(self, name: str, question: str, k: int) -> list[Memory]:
        try:
            texts = [str(text)[:_LONGEST] for text in list(self._retrievers[name](question, k))[: min(k, _MOST)]]
        except Exception as error:  # a plug-in may raise anything; a prompt without it is one
            self.failures[name] += 1
            log.warning("[memory] sources: '%s' failed: %s: %s", name, type(error).__name__, error)
            return []
        return [_passage(text, name) for text in texts if text.strip()]


def as_retrieve(thing: Any, name: str) -> Retrieve:
    """Return a retriever, a pipeline or a function as a function. Raises: ConfigError when it is none of these.

    LlamaIndex retrievers have `retrieve`; Haystack pipelines have `run` and `inputs`, its retrievers only `run`.
    """
    if callable(getattr(thing, "retrieve", None)):
        return lambda question, _: [node.get_content() for node in thing.retrieve(question)]
    if callable(getattr(thing, "run", None)):
        return _haystack_pipeline(thing) if callable(getattr(thing, "inputs", None)) else _haystack_retriever(thing)
    if callable(thing) and not isinstance(thing, type):
        function: Retrieve = thing
        return function
    raise ConfigError(
        f"[memory] sources: '{name}' is a {type(thing).__name__}, not a source.",
        "name a LlamaIndex retriever, a Haystack retriever or pipeline, or a function of (question, k)",
    )


def _haystack_retriever(retriever: Any) -> Retrieve:
    def retrieve(question: str, k: int) -> list[str]:
        return _contents(retriever.run(query=question, top_k=k).get("documents", ()))

    return retrieve


def _haystack_pipeline(pipeline: Any) -> Retrieve:
    """Give the question to every open input named `query`, and take the documents that come out."""

    def retrieve(question: str, k: int) -> list[str]:
        wanted = pipeline.inputs()
        given: dict[str, dict[str, str | int]] = {
            part: {"query": question} for part, inputs in wanted.items() if "query" in inputs
        }
        for part, inputs in wanted.items():
            if part in given and "top_k" in inputs:
                given[part] |= {"top_k": k}
        outputs = pipeline.run(given)
        return [text for made in outputs.values() for text in _contents(made.get("documents", ()))]

    return retrieve


def _contents(documents: Iterable[Any]) -> list[str]:
    return [document.content for document in documents if document.content]


def _passage(text: str, source: str) -> Memory:
    name = content_hash(("passage", source, text), 32)
    return Memory(id=f"mem_{name}", type="document", messages=(), reply=text, evidence=(f"doc_{name}",), reason=source)


def _loaded(name: str) -> Any:
    module, _, attribute = name.partition(":")
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # before the module imports it
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"[memory] sources: '{name}' cannot be loaded: {error}", "write it as module:attr") from error
