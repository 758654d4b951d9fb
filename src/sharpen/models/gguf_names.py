"""How Transformers' weights are named and laid out in a GGUF file.

In: a model's config and weights by Transformers' names. Out: the same under llama.cpp's. Must not know files.

llama.cpp's rotary embedding pairs neighbouring rows of a head where Transformers pairs the first half with the second.
In the Llama architecture the rows of query and key are therefore stored in another order, and of a LoRA adapter's two
halves only B has those rows. Source: `LlamaModel.permute` in llama.cpp's convert_hf_to_gguf.py. Qwen's architecture is
rotated as Transformers does it, and keeps its order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpen.errors import Refused

Array = NDArray[np.float32]

# model_type → llama.cpp's architecture, and whether query and key are permuted.
ARCHITECTURES = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
}


def architecture(config: Any) -> tuple[str, bool]:
    """Return llama.cpp's name for the architecture, and whether query and key are permuted. Raises: Refused."""
    found = ARCHITECTURES.get(config.model_type)
    if found is None:
        raise Refused(
            f"A GGUF file is written for {', '.join(ARCHITECTURES)}, not for '{config.model_type}'.",
            "--to safetensors, then llama.cpp's convert_hf_to_gguf.py",
        )
    return found


def permuted(rows: Array, heads: int) -> Array:
    """Bring the rows of a query's or key's matrix, (heads * head size, …), into llama.cpp's order."""
    size = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, size, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def renamed(config: Any, module: str, kind: str = "weight") -> tuple[str, int]:
    """Return a module's name in the file, and the number of heads by which its rows are permuted; 0: they are not.

    Raises: Refused.
    """
    import gguf

    name, permutes = architecture(config)
    numbers = {label: number for number, label in gguf.MODEL_ARCH_NAMES.items()}
    found = gguf.get_tensor_name_map(numbers[name], config.num_hidden_layers).get_name(module)
    if found is None:
        raise Refused(f"llama.cpp has no place for '{module}'.", "--to safetensors")
    heads = 0
    if permutes and module.endswith("q_proj"):
        heads = config.num_attention_heads
    elif permutes and module.endswith("k_proj"):
        heads = config.num_key_value_heads
    return f"{found}.{kind}", heads
