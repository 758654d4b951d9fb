"""A LoRA adapter as a GGUF file, for llama.cpp.

In: an adapter folder and the base's folder. Out: one file. Must not know versions or engines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sharpen.config.adapter_kinds import LORA
from sharpen.errors import Refused
from sharpen.models import adapters
from sharpen.models.gguf_names import architecture, permuted, renamed

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight")


def write_adapter(adapter: Path, base: Path, out: Path) -> None:
    """Write the adapter's halves under llama.cpp's names, in fp32. Raises: Refused when llama.cpp cannot apply it."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file
    from transformers import AutoConfig

    settings, _ = adapters.opened(adapter)
    _check(settings)
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    writer: Any = gguf.GGUFWriter(out, architecture(config)[0])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(settings))
    for key, value in sorted(load_file(adapter / adapters.WEIGHTS).items()):
        parts = _KEY.fullmatch(key)
        if parts is None:
            raise Refused(f"'{key}' is no half of a LoRA layer.", "--to safetensors")
        name, heads = renamed(config, parts["module"])
        half = parts["half"]
        rows = permuted(value, heads) if half == "B" and heads else value
        writer.add_tensor(f"{name}.lora_{half.lower()}", np.ascontiguousarray(rows, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check(settings: dict[str, Any]) -> None:
    if settings.get("peft_type") != LORA or settings.get("use_dora"):
        raise Refused("llama.cpp applies plain LoRA only; this version is of another kind.", "--to safetensors")
    if settings.get("rank_pattern") or settings.get("alpha_pattern"):
        raise Refused("llama.cpp knows one scale for a whole adapter; this one has several.", "--to safetensors")


def _alpha(settings: dict[str, Any]) -> float:
    """Return the alpha that makes llama.cpp's alpha / rank PEFT's scale."""
    rank, alpha = float(settings["r"]), float(settings["lora_alpha"])
    return alpha * rank**0.5 if settings.get("use_rslora") else alpha
