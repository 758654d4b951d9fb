"""A version leaves the house: merged weights for any runtime, or an adapter for llama.cpp.

In: the base's folder and a version's adapter. Out: a folder or a file, there whole or not at all. Must not know the
store, or who will load it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharpen.errors import ConfigError, EngineError, Refused
from sharpen.models import adapters, replaced, weights

FORMS = ("safetensors", "gguf", "gguf-adapter")


def export(base: Path, adapter: Path | None, form: str, out: Path) -> Path:
    """Write a version in one of FORMS to `out`; `adapter` is None for the bare base.

    Raises: ConfigError, Refused when the form cannot hold this version, EngineError when it is damaged.
    """
    if form not in FORMS:
        raise ConfigError(f"There is no form '{form}' to export to.", f"--to {' | '.join(FORMS)}")
    if out.exists():
        raise ConfigError(f"{out} is there already.", "name another place with --out")
    if form == "gguf-adapter":
        from sharpen.models.gguf_adapter import write_adapter

        if adapter is None:
            raise Refused("The bare base has no adapter.", "--to gguf or --to safetensors")
        return _whole(out, lambda part: write_adapter(adapter, base, part))
    if form == "safetensors":
        return _whole(out, lambda part: merge(base, adapter, part))

    def written(part: Path) -> None:
        from sharpen.models.gguf_model import write_model

        merged = part.with_name(f"{part.name}.merged")
        try:
            merge(base, adapter, merged)
            write_model(merged, part)
        finally:
            shutil.rmtree(merged, ignore_errors=True)

    return _whole(out, written)


def merge(base: Path, adapter: Path | None, out: Path) -> None:
    """Write base and adapter as one plain model folder, in fp32, with its tokenizer. Raises: EngineError."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).eval()
    if adapter is not None and replaced.replaces(adapter):
        replaced.Swap(model).use(replaced.read(adapter, base, weights.digest(base)))
    elif adapter is not None:
        from peft import PeftModel

        adapters.check(adapter, model, weights.digest(base))
        with warnings.catch_warnings():  # PEFT asks Transformers by a name that is about to go
            warnings.simplefilter("ignore", FutureWarning)
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(base, trust_remote_code=False).save_pretrained(out)


def _whole(out: Path, write: Callable[[Path], None]) -> Path:
    """Write beside the place and rename: a half-written export is never taken for a whole one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        write(part)
        part.rename(out)
    except OSError as error:
        raise EngineError(
            f"{out} cannot be written: {error}", "check the disk's space and the folder's rights"
        ) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
    return out
