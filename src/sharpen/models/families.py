"""What differs between the families of models: turns, padding, and which layers an adapter changes.

In: a model type and a vocabulary. Out: the family. Must not know torch: engine and trainer both read this table.

A family is found by the `model_type` of its config and, where two families share an architecture (Llama 3, SmolLM2), by
a token that only one of them has. A model of an unknown type still works: it ends at its own end-of-sequence token,
pads with it, and its adapters change every linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_LLAMA_NORMS = ("input_layernorm", "post_attention_layernorm", "norm")

_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_MISTRAL = (  # no role of its own for the system: its words go before the user's
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] + '\n\n' %}"
    "{% elif message['role'] == 'user' %}[INST] {{ ns.system + message['content'] }}[/INST]{% set ns.system = '' %}"
    "{% else %} {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
_GEMMA = (  # the same, and the assistant is called model
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] + '\n\n' %}{% else %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else 'user' }}\n{{ ns.system + (message['content'] | trim) }}"
    "<end_of_turn>\n{% set ns.system = '' %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_FALCON = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}Assistant: {{ message['content'] }}"
    "{{ eos_token }}\n{% else %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """One family. Tokens are named by their text; a vocabulary that lacks one falls back to its end of sequence."""

    name: str
    model_types: tuple[str, ...]
    template: str
    """The turns as the family's instruct models write them."""
    turn_end: str = ""
    """The token after an assistant's turn; empty: the end of the sequence."""
    stops: tuple[str, ...] = ()
    """Other tokens that end an answer."""
    pads: tuple[str, ...] = ()
    """What to pad with when the tokenizer says nothing, in order of preference; then the end of the sequence."""
    mark: str = ""
    """A token that tells this family from another of the same architecture."""
    lends_template: bool = False
    """Instruct models of this family came without a chat template: take the one above."""
    targets: tuple[str, ...] = _LLAMA
    """The linear layers that an adapter changes: all but the head."""
    rescaled: tuple[str, ...] = ("k_proj", "v_proj", "down_proj")
    """Of these, the ones that IA3 rescales (Liu et al. 2022, section 3.3): keys, values, the feed-forward's inside."""
    feedforward: tuple[str, ...] = ("down_proj",)
    norms: tuple[str, ...] = _LLAMA_NORMS
    quirk: str = ""


FAMILIES = (
    Family(
        "Llama 3", ("llama",), _LLAMA_3, "<|eot_id|>", ("<|end_of_text|>", "<|eom_id|>"),
        ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"), mark="<|eot_id|>",
        quirk="a turn ends with <|eot_id|>, a text with <|end_of_text|>; no padding token until 3.1",
    ),
    Family(
        "Mistral", ("mistral",), _MISTRAL, pads=("<pad>", "<unk>"),
        quirk="no system role; a space before each answer; no padding token",
    ),
    Family(
        "Mixtral", ("mixtral",), _MISTRAL, pads=("<pad>", "<unk>"), targets=_LLAMA[:4],
        rescaled=("k_proj", "v_proj"), feedforward=(),
        quirk="experts are one tensor each, not linear layers: adapters change the attention",
    ),
    Family(
        "Gemma", ("gemma", "gemma2", "gemma3_text"), _GEMMA, "<end_of_turn>", pads=("<pad>",),
        quirk="no system role; a turn ends with <end_of_turn>, which is not the end of sequence",
    ),
    Family(
        "Falcon", ("falcon",), _FALCON, pads=("<|pad|>",), lends_template=True,
        targets=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        rescaled=("query_key_value", "dense_4h_to_h"), feedforward=("dense_4h_to_h",),
        norms=("input_layernorm", "post_attention_layernorm", "ln_attn", "ln_mlp", "ln_f"),
        quirk="query, key and value are one layer; no chat template, no padding token",
    ),
    Family(
        "MPT", ("mpt",), _CHATML, "<|im_end|>", ("<|endoftext|>",), ("<|padding|>",), lends_template=True,
        targets=("Wqkv", "out_proj", "up_proj", "down_proj"),
        rescaled=("Wqkv", "down_proj"), feedforward=("down_proj",), norms=("norm_1", "norm_2", "norm_f"),
        quirk="query, key and value are one layer; distances (ALiBi) in place of positions",
    ),
    Family(
        "Qwen", ("qwen2", "qwen3"), _CHATML, "<|im_end|>", ("<|endoftext|>",), ("<|endoftext|>",),
        quirk="pads with <|endoftext|>, ends a turn with <|im_end|>; 2 and 2.5 have biases on query, key and value",
    ),
    Family(
        "SmolLM", ("llama", "smollm3"), _CHATML, "<|im_end|>", ("<|endoftext|>",), ("<|endoftext|>",),
        mark="<|im_end|>", quirk="a Llama by architecture: told by <|im_end|>",
    ),
)  # fmt: skip

UNKNOWN = Family("unknown", (), "", targets=(), rescaled=(), feedforward=(), norms=())


def family_of(model_type: str, vocabulary: Mapping[str, int]) -> Family:
    """Return the family of a model, or UNKNOWN."""
    for family in FAMILIES:
        if model_type in family.model_types and (not family.mark or family.mark in vocabulary):
            return family
    return UNKNOWN


def prepare(tokenizer: Any, model_type: str) -> Family:
    """Give a tokenizer what its family expects and it lacks: a token to pad with, and in two families the template."""
    vocabulary = tokenizer.get_vocab()
    family = family_of(model_type, vocabulary)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = next((pad for pad in family.pads if pad in vocabulary), tokenizer.eos_token)
    if tokenizer.chat_template is None and family.lends_template:
        tokenizer.chat_template = family.template
    return family


@dataclass(frozen=True, slots=True)
class Turn:
    """How an assistant's turn is written in tokens."""

    lead: str
    """What the template writes between the prompt and the answer: a space, in Mistral's."""
    end: int | None
    """The token after the answer."""
    ends: frozenset[int]
    """Every token that ends an answer."""


def turn_of(family: Family, tokenizer: Any, configured: int | list[int] | None) -> Turn:
    """Read from a prepared tokenizer how a turn begins and ends; `configured` is what the model's own config says."""
    vocabulary = tokenizer.get_vocab()
    end = vocabulary.get(family.turn_end, tokenizer.eos_token_id)
    stops = [vocabulary.get(stop) for stop in (family.turn_end, *family.stops)]
    own = configured if isinstance(configured, list) else [configured]
    ends = frozenset(token for token in (end, tokenizer.eos_token_id, *stops, *own) if token is not None)
    return Turn(_lead(tokenizer), end, ends)


def _lead(tokenizer: Any) -> str:
    """Render an answer that nobody gives, and see what stands before it."""
    asked, answer = [{"role": "user", "content": "?"}], "\u2301answer\u2301"
    try:
        before = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": answer}], tokenize=False)
    except Exception:  # a template may raise anything; messages that it refuses are told when they come
        return ""
    lead, found, _ = whole.partition(answer)
    return lead[len(before) :] if found and lead.startswith(before) else ""
