"""A whole model as a GGUF file, for llama.cpp: weights in fp32, the tokenizer, the chat template.

In: a model's folder. Out: one file. Must not know adapters: a version is merged before it comes here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpen.errors import Refused
from sharpen.models.gguf_names import architecture, permuted, renamed

_NORMAL, _CONTROL = 1, 3  # Source: llama.cpp's llama_token_type


def write_model(folder: Path, out: Path) -> None:
    """Write the model in `folder`. Raises: Refused when llama.cpp could not read it."""
    import gguf
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    config = model.config
    writer: Any = gguf.GGUFWriter(out, architecture(config)[0])
    _describe(writer, config)
    _tokens(writer, AutoTokenizer.from_pretrained(folder, trust_remote_code=False), config.vocab_size)
    for name, weight in model.named_parameters():  # tied ones once: llama.cpp ties them again
        module, _, kind = name.rpartition(".")
        label, heads = renamed(config, module, kind)
        rows = weight.detach().numpy()
        writer.add_tensor(label, np.ascontiguousarray(permuted(rows, heads) if heads else rows))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, config: Any) -> None:
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type", "default") != "default":
        raise Refused("This base scales its rotary positions, which is not written to GGUF here.", "--to safetensors")
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(rotary.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(0)  # every tensor is fp32


def _tokens(writer: Any, tokenizer: Any, size: int) -> None:
    plan = json.loads(tokenizer.backend_tokenizer.to_str())
    words = {index: word for word, index in tokenizer.get_vocab().items()}
    control = {token["id"] for token in plan["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(plan))
    writer.add_token_list([words.get(index, f"[unused{index}]") for index in range(size)])
    writer.add_token_types([_CONTROL if index in control or index not in words else _NORMAL for index in range(size)])
    merges = plan["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_add_bos_token(False)  # the chat template writes it where there is one
    for add, index in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if index is not None:
            add(index)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _splitting(plan: dict[str, Any]) -> str:
    """Return llama.cpp's name for how a text is split before pairs are merged. Raises: Refused."""
    before = plan.get("pre_tokenizer") or {}
    steps = [step["type"] for step in before.get("pretokenizers", [before]) if step]
    if plan["model"]["type"] != "BPE" or not steps or steps[-1] != "ByteLevel":
        raise Refused("A GGUF file is written for byte-level BPE tokenizers only.", "--to safetensors")
    if steps == ["ByteLevel"]:
        return "gpt-2"
    if steps == ["Digits", "ByteLevel"]:
        return "smollm"
    pattern = before["pretokenizers"][0].get("pattern", {}).get("Regex", "")
    known = {r"\p{N}{1,3}": "llama-bpe", r"|\p{N}|": "qwen2"}
    for part, name in known.items():
        if part in pattern and pattern.startswith("(?i:'s|'t|'re|'ve|'m|'ll|'d)"):
            return name
    raise Refused("This tokenizer splits words in a way that has no name here.", "--to safetensors")
