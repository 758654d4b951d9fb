"""Which engine runs the base: the one that the configuration names.

In: the configuration. Out: an Engine. Must not know who asks it.
"""

from __future__ import annotations

from pathlib import Path

from sharpen.config import Config
from sharpen.models import weights
from sharpen.models.engine import Engine


def open_engine(config: Config) -> Engine:
    """Return the engine of `[models] engine`, no version loaded. Raises: ConfigError, EngineError, MissingExtra."""
    if config.models.engine == "llamacpp":
        from sharpen.models.llamacpp_engine import LlamacppEngine

        return LlamacppEngine(gguf_of(config.base), weights.resolve(config.base), config.models)
    from sharpen.models.transformers_engine import TransformersEngine

    return TransformersEngine.open(config)


def gguf_of(base: str) -> Path:
    """Return the base as a GGUF file: as it was given, or written once into the cache, in fp32.

    Raises: ConfigError when there is nothing of that name; Refused for a family that is not written to GGUF here.
    """
    if base.startswith("package:"):
        return weights.packaged(base.removeprefix("package:"))
    folder = weights.resolve(base)
    if base.endswith(".gguf"):
        return Path(base).expanduser()
    file = weights.cache_folder() / "gguf" / f"{weights.digest(folder)}.gguf"
    if not file.is_file():
        from sharpen.models.export import export

        export(folder, None, "gguf", file)
    return file
